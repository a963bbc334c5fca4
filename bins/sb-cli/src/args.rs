//! The words of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use sb_topology::Durability;

use crate::answers::SiteAnswer;
use crate::units;

/// Watch, move and set up a PostgreSQL cluster of small sites
#[derive(Debug, Parser)]
#[command(name = "sb-cli", version, max_term_width = 100, after_help = EXIT_HELP)]
pub struct Cli {
    /// Which agent to ask, and how
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// How data is written
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub output: Output,
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

const EXIT_HELP: &str = "Exit status: 0 done; 1 failed; 2 usage; 3 refused by a safety gate, nothing was changed; \
4 no agent reached or not authorised; 5 timed out, the operation goes on; 6 degraded; 7 critical.";

/// How data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For people with wide screens
    Wide,
    /// For programs; carries schema_version
    Json,
}

/// Which agent to ask, and how. Any agent of the cluster can answer.
///
/// Global arguments reach every verb under their ids, which must be nobody else's: hence the `agent_` in front.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// The agent's Unix socket; with --ssh, the one on HOST
    #[arg(id = "agent_socket", long = "socket", global = true, env = "SB_SOCKET", value_name = "PATH")]
    #[arg(default_value = sb_client::SOCKET_DEFAULT)]
    pub socket: PathBuf,
    /// Ask the agent on HOST through its Unix socket, forwarded by ssh
    #[arg(id = "agent_ssh", long = "ssh", global = true, value_name = "HOST")]
    #[arg(conflicts_with_all = ["agent_server", "agent_token_file", "agent_ca"])]
    pub ssh: Option<String>,
    /// Ask the agent at https://HOST[:PORT] with a token
    #[arg(id = "agent_server", long = "server", global = true, env = "SB_SERVER", value_name = "URL")]
    #[arg(requires_all = ["agent_token_file", "agent_ca"])]
    pub server: Option<String>,
    /// File with the token for --server
    #[arg(
        id = "agent_token_file",
        long = "token-file",
        global = true,
        env = "SB_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// File with the certificate of the cluster's authority for --server
    #[arg(id = "agent_ca", long = "ca", global = true, env = "SB_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Verbs that ask an agent
    #[command(flatten)]
    Agent(AgentVerb),
    /// Make a cluster: its documents, its authority, and a bundle for each server
    Init(InitArgs),
    /// Look at a configuration directory
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// How an application reaches the database: a connection string, or a configuration for HAProxy
    Dsn(DsnArgs),
    /// Five sites on this machine, a failover before your eyes
    Demo(sb_lab::cli::DemoArgs),
    /// Five sites on this machine, to try things out
    Lab(sb_lab::cli::LabArgs),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Verbs that ask an agent.
#[derive(Debug, Subcommand)]
pub enum AgentVerb {
    /// One page: verdict, sites, servers, lag
    Status(StatusArgs),
    /// Move the primary on purpose; nothing is lost
    Switchover(SwitchoverArgs),
    /// Promote a server although the primary cannot hand over
    Failover(FailoverArgs),
    /// Change what a commit waits for, while the cluster runs
    Durability(DurabilityArgs),
    /// Go on with one server although the majority of the store is lost for good
    Recover(RecoverArgs),
    /// What concerns one server
    Server {
        /// What to do with it
        #[command(subcommand)]
        command: ServerCommand,
    },
    /// The private network between the servers
    Net {
        /// What to do with it
        #[command(subcommand)]
        command: NetCommand,
    },
    /// Hold back automatic failover for a while
    Pause(PauseArgs),
    /// End a pause
    Resume,
    /// The changes of primary
    History,
    /// What happened
    Events(EventsArgs),
    /// Why (not): a server, an operation, a code, or who takes over in the whole cluster
    Explain {
        /// What to explain
        #[arg(value_name = "SERVER|OPERATION|CODE", conflicts_with = "term")]
        subject: Option<String>,
        /// Of the cluster: how the succession that began this term was judged, instead of the last one
        #[arg(long, value_name = "N")]
        term: Option<u64>,
    },
    /// Operations under way and past
    Ops(OpsArgs),
}

/// What to do with the mesh
#[derive(Debug, Clone, Subcommand)]
pub enum NetCommand {
    /// The peers of the server that is asked
    Status,
    /// Every pair of servers, as each of them sees it
    Matrix,
    /// What the interface should be, what it is, and the difference
    ShowConfig,
    /// Replace the WireGuard key of the server that is asked; packets go on meanwhile
    RotateKey(RotateKeyArgs),
    /// Replace the preshared keys of pairs of servers, or make the first ones; packets go on meanwhile
    RotatePreshared(RotatePresharedArgs),
    /// The public keys by which the servers are known now: what sites.json of a server that is set up anew has to name
    Keys,
    /// Have all know a server that is not heard by another public key, as after it was set up anew
    AcceptKey(AcceptKeyArgs),
}

/// `net rotate-preshared`
#[derive(Debug, Clone, Args)]
pub struct RotatePresharedArgs {
    /// Only those that this server shares; all when none is named
    #[arg(value_name = "SERVER")]
    pub of: Option<String>,
    /// Only the one that it shares with this server
    #[arg(value_name = "WITH")]
    pub with: Option<String>,
    /// Give up those that are not in force yet
    #[arg(long, conflicts_with = "dry_run")]
    pub abandon: bool,
    /// Have the server that is asked forget what it shares with this one, which has lost it and reaches nobody
    #[arg(long, value_name = "SERVER", conflicts_with_all = ["of", "with", "abandon"])]
    pub forget: Option<String>,
    /// Pass the gates and show the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Longest wait for the end
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = units::duration)]
    pub timeout: Duration,
}

/// `net accept-key`
#[derive(Debug, Clone, Args)]
pub struct AcceptKeyArgs {
    /// The server that has come up with another key
    #[arg(value_name = "SERVER")]
    pub of: String,
    /// What `sb-agent mesh-key` prints there
    #[arg(value_name = "PUBLICKEY")]
    pub public_key: String,
    /// Pass the gates and show the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `net rotate-key`
#[derive(Debug, Clone, Args)]
pub struct RotateKeyArgs {
    /// Refuse unless this is the server that is asked: a private key never leaves its server
    #[arg(value_name = "SERVER")]
    pub of: Option<String>,
    /// End a replacement that the interface has not gone over to yet
    #[arg(long, conflicts_with = "dry_run")]
    pub abandon: bool,
    /// Pass the gates and show the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Longest wait for the end
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = units::duration)]
    pub timeout: Duration,
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where everything goes; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Where the documents come from; without any, on a terminal, you are asked
    #[command(flatten)]
    pub source: SourceArgs,
    /// What a commit waits for; without it, `async`. Documents of --config say it themselves
    #[arg(long, value_name = "WORD", conflicts_with = "config", value_parser = durability())]
    pub durability: Option<Durability>,
    /// The cluster's name, which is typed to confirm dangerous commands
    #[arg(long, value_name = "NAME", default_value = "show-build", value_parser = cluster_name)]
    pub name: String,
    /// File with the passphrase for the authority's key; without it, on a terminal, you are asked
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// A cluster's name is typed in full by people in a hurry: the same letters as in the names of sites, nothing more.
fn cluster_name(text: &str) -> Result<String, sb_topology::NameError> {
    sb_topology::SiteName::new(text).map(|name| name.to_string())
}

/// Another word for `sync`: commits go on when nobody answers.
const AVAILABLE: &str = "available";

/// The words for what a commit waits for, as documents have them.
fn durability() -> impl TypedValueParser<Value = Durability> {
    let help = |durability| match durability {
        Durability::Async => "The primary's own disk: a failover may lose the newest commits",
        Durability::Sync => "A server at another site too, as long as one answers",
        Durability::Strict => "A server at another site too, always: without one, commits wait",
    };
    let value = |durability: Durability| {
        let word = PossibleValue::new(durability.as_str()).help(help(durability));
        if durability == Durability::Sync { word.alias(AVAILABLE) } else { word }
    };
    let all = [Durability::Async, Durability::Sync, Durability::Strict];
    PossibleValuesParser::new(all.map(value)).map(move |word| {
        let word = if word == AVAILABLE { Durability::Sync.as_str() } else { &word };
        all.into_iter().find(|durability| durability.as_str() == word).unwrap_or(Durability::Async)
    })
}

/// Where the documents come from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct SourceArgs {
    /// Documents that you have, checked and copied as they are
    #[arg(long, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// The five sites that Show-Build was made for
    #[arg(long)]
    pub example: bool,
    /// A site and the mesh addresses of its servers, each with its public address when it has one; the first site
    /// given is the primary one
    #[arg(long = "site", value_name = "NAME=MESH[@PUBLIC][,...]")]
    pub sites: Vec<SiteAnswer>,
}

/// `config`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every problem; change nothing
    Validate {
        /// The configuration directory
        directory: PathBuf,
    },
}

/// `dsn`
#[derive(Debug, Args)]
pub struct DsnArgs {
    /// The configuration directory
    #[arg(long, env = "SB_CONFIG_DIR", default_value = "/etc/show-build", value_name = "DIR")]
    pub config: PathBuf,
    /// Write, or only read
    #[arg(long, value_enum, default_value = "rw")]
    pub role: DsnRole,
    /// For which client
    #[arg(long, value_enum, default_value = "libpq")]
    pub format: DsnForm,
    /// The certificate of the cluster's authority on the client's machine; then a server has to prove its name
    #[arg(long, value_name = "FILE")]
    pub root_cert: Option<String>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DsnRole {
    /// The primary
    Rw,
    /// A standby; the primary where there is none
    Ro,
}

/// The forms of `dsn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DsnForm {
    /// psql, psycopg and all that is built on libpq: every server
    Libpq,
    /// pgJDBC: every server
    Jdbc,
    /// sqlx and drivers that take one address: the proxy of the agent on the same machine
    Sqlx,
    /// libpq's environment variables
    Env,
    /// A configuration file of HAProxy: port 5000 to the primary, 5001 to readers
    Haproxy,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Again every second, until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// What every verb that moves the primary takes.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Pass the gates and show the plan; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask; without a terminal also needs --expect-primary
    #[arg(long)]
    pub yes: bool,
    /// Refuse when another server is primary
    #[arg(long, value_name = "SERVER")]
    pub expect_primary: Option<String>,
    /// How long to wait for the end of the operation; it goes on afterwards
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = units::duration)]
    pub timeout: Duration,
}

/// `switchover`
#[derive(Debug, Args)]
pub struct SwitchoverArgs {
    /// The new primary; without it the best candidate
    #[arg(long, value_name = "SERVER")]
    pub to: Option<String>,
    /// How
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// `failover`
#[derive(Debug, Args)]
pub struct FailoverArgs {
    /// The new primary
    #[arg(long, value_name = "SERVER")]
    pub to: String,
    /// Lose confirmed commits, up to this much WAL, such as 48MiB
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    pub accept_data_loss: Option<u64>,
    /// How
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// `durability`
#[derive(Debug, Args)]
pub struct DurabilityArgs {
    /// What a commit waits for
    #[arg(value_name = "WORD", value_parser = durability())]
    pub durability: Durability,
    /// On how many servers at other sites a commit must be
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub number: u8,
    /// How
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// `recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Show who answers, how far each log reaches, the bytes at risk and what cannot be known; change nothing
    #[arg(long, required_unless_present = "to", conflicts_with_all = ["to", "confirm_lost", "accept_data_loss"])]
    pub plan: bool,
    /// The server to go on with: the one that is asked
    #[arg(long, value_name = "SERVER", requires_all = ["confirm_lost", "accept_data_loss"])]
    pub to: Option<String>,
    /// The servers that will NEVER come back by themselves: exactly those that do not answer
    #[arg(long, value_name = "SERVER,...", value_delimiter = ',')]
    pub confirm_lost: Vec<String>,
    /// Lose confirmed commits, up to this much WAL of what is known, such as 48MiB
    #[arg(long, value_name = "BYTES", value_parser = units::bytes)]
    pub accept_data_loss: Option<u64>,
    /// How
    #[command(flatten)]
    pub transfer: TransferArgs,
}

/// The verbs of `server`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Let a server back in that a recovery has given up
    Rejoin {
        /// Its name
        server: String,
    },
}

/// `pause`
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// When it ends by itself
    #[arg(long = "for", value_name = "DURATION", default_value = "2h", value_parser = units::duration)]
    pub duration: Duration,
    /// Why, for the others
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Go on as more happens, until interrupted
    #[arg(long)]
    pub follow: bool,
    /// Only events with a greater id
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub since: u64,
}

/// `ops`
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Which
    #[command(subcommand)]
    pub command: Option<OpsCommand>,
}

/// The verbs of `ops`.
#[derive(Debug, Subcommand)]
pub enum OpsCommand {
    /// All that are remembered
    List,
    /// One, with its steps
    Show {
        /// Its id
        id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn every_verb_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_arguments_and_those_of_a_verb_do_not_get_into_each_others_way() {
        let lines = [
            "lab shell ravena-1 true",
            "lab kill tucson-1 agent",
            "lab up --logs /tmp/logs",
            "demo --scenario switchover",
            "--socket /tmp/agent.sock switchover --to tucson-1",
        ];
        for line in lines {
            let words = std::iter::once("sb-cli").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
