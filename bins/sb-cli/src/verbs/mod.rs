//! One module a verb.

mod completions;
mod config;
mod dsn;
mod durability;
mod events;
mod explain;
mod history;
mod init;
mod net;
mod net_keys;
mod net_matrix;
mod operations;
mod pause;
mod recover;
mod server;
mod status;
mod transfer;

use std::process::ExitCode;

use sb_client::Client;
use serde::Serialize;

use crate::args::{AgentVerb, Cli, ConfigCommand, Output, Verb};
use crate::connection::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// How a verb ended.
pub type Ended = Result<Exit, Failure>;

/// Runs one verb.
///
/// The lab starts this program again inside namespaces of its own, which a process with a second thread cannot do:
/// only verbs that ask an agent start a runtime.
pub fn run(cli: Cli, terminal: &mut Terminal) -> Result<ExitCode, Failure> {
    let Cli { connection, output, verb } = cli;
    let exit = match verb {
        Verb::Demo(args) => return Ok(sb_lab::cli::run_demo(args)),
        Verb::Lab(args) => return Ok(sb_lab::cli::run_lab(args)),
        Verb::Init(args) => init::run(&args, terminal)?,
        Verb::Config { command: ConfigCommand::Validate { directory } } => {
            config::validate(&directory, output, terminal)?
        }
        Verb::Dsn(args) => dsn::run(&args, output, terminal)?,
        Verb::Completions { shell } => completions::run(shell, terminal)?,
        Verb::Agent(AgentVerb::Explain { subject: Some(code), .. }) if explain::is_code(&code) => {
            explain::code(&code, output, terminal)?
        }
        Verb::Agent(verb) => runtime()?.block_on(async {
            let connection = Connection::open(&connection).await?;
            let ended = ask(verb, &connection.client, output, terminal).await;
            connection.close(ended).await
        })?,
    };
    Ok(exit.into())
}

/// Runs one verb that asks an agent.
async fn ask(verb: AgentVerb, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    match verb {
        AgentVerb::Status(args) => status::run(&args, client, output, terminal).await,
        AgentVerb::Switchover(args) => transfer::switchover(args, client, output, terminal).await,
        AgentVerb::Failover(args) => transfer::failover(args, client, output, terminal).await,
        AgentVerb::Durability(args) => durability::run(args, client, output, terminal).await,
        AgentVerb::Recover(args) => recover::run(args, client, output, terminal).await,
        AgentVerb::Server { command } => server::run(command, client, output, terminal).await,
        AgentVerb::Net { command } => net::run(command, client, output, terminal).await,
        AgentVerb::Pause(args) => pause::pause(args, client, output, terminal).await,
        AgentVerb::Resume => pause::resume(client, output, terminal).await,
        AgentVerb::History => history::run(client, output, terminal).await,
        AgentVerb::Events(args) => events::run(&args, client, output, terminal).await,
        AgentVerb::Explain { subject: Some(subject), .. } => {
            explain::subject(&subject, client, output, terminal).await
        }
        AgentVerb::Explain { subject: None, term } => explain::cluster(term, client, output, terminal).await,
        AgentVerb::Ops(args) => operations::run(args, client, output, terminal).await,
    }
}

/// One thread is enough for one call after the other.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "could not start").detail(error.to_string()))
}

/// An answer as JSON that says which version it is.
#[derive(Serialize)]
struct Versioned<T> {
    schema_version: u32,
    #[serde(flatten)]
    answer: T,
}

/// Writes an answer that does not carry its version itself.
fn write_json<T: Serialize>(answer: T, terminal: &mut Terminal) -> Result<(), Failure> {
    write_json_as_is(&Versioned { schema_version: sb_api::SCHEMA_VERSION, answer }, terminal)
}

/// Writes an answer that carries its version itself.
fn write_json_as_is<T: Serialize>(answer: &T, terminal: &mut Terminal) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(answer)
        .map_err(|error| Failure::new(Exit::Failed, "could not write JSON").detail(error.to_string()))?;
    Ok(terminal.data(text)?)
}
