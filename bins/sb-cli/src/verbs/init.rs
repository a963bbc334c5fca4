use std::path::{Path, PathBuf};

use sb_client::bundle::{AuthorityKey, BundleError, Cluster, make_cluster};
use sb_client::state::Secret;
use sb_topology::{Durability, Topology, load_dir};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::answers::{SiteAnswer, sites_document};
use crate::args::InitArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{Conversation, Terminal};
use crate::verbs::{Ended, config};
use crate::{example, passphrase};

/// Makes the documents, the authority and a bundle for each server.
pub fn run(args: &InitArgs, terminal: &mut Terminal) -> Ended {
    let documents = Documents::find(args, terminal)?;
    let topology = documents.check(terminal)?;
    check_password(&topology)?;
    let passphrase = passphrase::read(args.passphrase_file.as_deref(), terminal)?;
    let cluster = Cluster::of(&args.name, &topology);
    make_cluster(&cluster, documents.directory(), &args.out, AuthorityKey::Encrypt(&passphrase))
        .map_err(|error| not_made(&error))?;
    terminal.data(consequence(&cluster, &args.out))?;
    Ok(Exit::Done)
}

/// A password that stands in public examples protects nothing.
fn check_password(topology: &Topology) -> Result<(), Failure> {
    if topology.database().password.reveal() != example::PASSWORD {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "the password in `database.json` is the example's: nothing was made")
        .hint("Write one of your own there, such as: openssl rand -base64 24"))
}

fn not_made(error: &BundleError) -> Failure {
    let failure = Failure::from_error(Exit::Failed, error);
    match error {
        BundleError::InUse { .. } | BundleError::Nameless { .. } => {
            failure.hint("Give --out a directory that does not exist yet.")
        }
        _ => failure,
    }
}

/// What was made, and what a person does with it.
fn consequence(cluster: &Cluster, out: &Path) -> String {
    let names: Vec<&str> = cluster.servers.iter().map(|server| server.name.as_str()).collect();
    let (out, name, first) = (out.display(), &cluster.name, &cluster.bootstrap);
    format!(
        "`{out}` holds the cluster `{name}`: {}.\n\
         On each SERVER, `{out}/SERVER/config` becomes /etc/show-build, `{out}/SERVER/state` /var/lib/show-build.\n\
         Start `{first}` first: it starts the store. The others join by themselves.\n\
         Keep `{out}/authority` to yourself; `{out}/operator` is for your laptop.",
        names.join(", ")
    )
}

/// Documents on disk: a person's own, or drafts that go away with this value.
enum Documents {
    Own(PathBuf),
    Drafts(TempDir),
}

impl Documents {
    fn find(args: &InitArgs, terminal: &mut Terminal) -> Result<Self, Failure> {
        if let Some(directory) = &args.source.config {
            return Ok(Self::Own(directory.clone()));
        }
        let sites = if args.source.example {
            parse(example::SITES)?
        } else if !args.source.sites.is_empty() {
            sites_document(&args.source.sites)
        } else if terminal.conversation() == Conversation::Possible {
            sites_document(&ask_sites(terminal)?)
        } else {
            return Err(Failure::new(Exit::Usage, "say where the documents come from")
                .hint("--example, --config DIR, or --site NAME=ADDRESS once for each site"));
        };
        Self::draft(sites, args.durability.unwrap_or(Durability::Async))
    }

    fn draft(mut sites: Value, durability: Durability) -> Result<Self, Failure> {
        let directory = TempDir::with_prefix("sb-cli-")?;
        let mut policy = parse(example::POLICY)?;
        policy["durability"]["mode"] = json!(durability);
        wait_for_every_site(&mut sites, durability);
        let texts = [
            ("sites.json", pretty(&sites)?),
            ("database.json", database_with_password()?),
            ("network.json", example::NETWORK.to_owned()),
            ("policy.json", pretty(&policy)?),
        ];
        for (name, text) in texts {
            std::fs::write(directory.path().join(name), text)?;
        }
        Ok(Self::Drafts(directory))
    }

    fn directory(&self) -> &Path {
        match self {
            Self::Own(directory) => directory,
            Self::Drafts(directory) => directory.path(),
        }
    }

    /// Where a person finds them.
    fn place(&self) -> String {
        match self {
            Self::Own(directory) => format!("`{}`", directory.display()),
            Self::Drafts(_) => "what you gave".into(),
        }
    }

    /// Tells every problem; fails when one is an error.
    fn check(&self, terminal: &mut Terminal) -> Result<Topology, Failure> {
        match load_dir(self.directory()) {
            Ok(loaded) => {
                config::tell(&loaded.warnings, terminal);
                Ok(loaded.topology)
            }
            Err(problems) => {
                config::tell(problems.as_slice(), terminal);
                Err(config::unusable(&self.place(), problems.as_slice()))
            }
        }
    }
}

/// The example's `database.json` with a random password in place of the placeholder.
fn database_with_password() -> Result<String, Failure> {
    let mut document = parse(example::DATABASE)?;
    document["password"] = Value::String(Secret::random().expose().to_owned());
    pretty(&document)
}

/// Any site may be the one that a commit waits for: each of them may be a replica one day.
fn wait_for_every_site(sites: &mut Value, durability: Durability) {
    let mode = if durability == Durability::Async { "async" } else { "sync" };
    for site in sites.as_object_mut().into_iter().flat_map(|sites| sites.values_mut()) {
        site["replicationMode"] = mode.into();
    }
}

fn parse(document: &str) -> Result<Value, Failure> {
    serde_json::from_str(document).map_err(|error| unwritable(&error))
}

fn pretty(document: &Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(document).map_err(|error| unwritable(&error))?;
    Ok(text + "\n")
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::new(Exit::Failed, "could not write a document").detail(error.to_string())
}

/// Asks for one site after the other, until an empty answer.
fn ask_sites(terminal: &mut Terminal) -> Result<Vec<SiteAnswer>, Failure> {
    let mut sites = Vec::new();
    terminal.talk("The first site is the primary one; earlier ones take over before later ones.");
    loop {
        let name = terminal.ask("Site, such as burlington; nothing when there is no other:")?;
        if name.is_empty() {
            return Ok(sites);
        }
        let addresses =
            terminal.ask("Mesh addresses of its servers, such as 10.0.2.1@203.0.113.21,10.0.2.2:")?;
        match SiteAnswer::new(&name, &addresses) {
            Ok(site) => sites.push(site),
            Err(reason) => terminal.talk(format!("{reason}; once more")),
        }
    }
}
