//! Documents in, a topology or all their problems out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::build::build_topology;
use crate::check::{Drafts, check_cluster, check_drafts};
use crate::findings::{Findings, Place};
use crate::json::Document;
use crate::read::{
    DatabaseDraft, NetworkDraft, PolicyDraft, read_database, read_network, read_policy, read_sites,
};
use crate::{DatabaseSettings, NetworkSettings, Problem, Problems, Topology};

/// Longest document that is read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

pub(crate) const DATABASE: &str = "database.json";
pub(crate) const SITES: &str = "sites.json";
pub(crate) const NETWORK: &str = "network.json";
pub(crate) const POLICY: &str = "policy.json";
/// What [`Topology::to_json`] makes is called in problems.
const TOPOLOGY: &str = "topology.json";
/// Where the application keeps the WireGuard key.
const PRIVATE_KEY: &str = ".wireguard_private";

/// The bytes of the documents; [`None`] for a file that does not exist.
#[derive(Clone, Copy, Default)]
pub struct Documents<'a> {
    /// `database.json`. Without it the database is reached through the proxy, under the name `showbuild`.
    pub database: Option<&'a [u8]>,
    /// `sites.json`. There is no topology without it.
    pub sites: Option<&'a [u8]>,
    /// `network.json`.
    pub network: Option<&'a [u8]>,
    /// `policy.json`.
    pub policy: Option<&'a [u8]>,
}

/// Documents that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The cluster.
    pub topology: Topology,
    /// This server's part in the mesh.
    pub network: NetworkSettings,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
}

/// Reads and checks the documents.
///
/// Rules about the cluster as a whole (voters, durability) are checked once every value of `sites.json` can be read;
/// all others at once.
///
/// # Errors
/// Every problem, warnings among them, when at least one is an error.
pub fn load(documents: Documents<'_>) -> Result<Loaded, Problems> {
    load_with(documents, Findings::default())
}

/// Reads and checks the documents of a configuration directory.
///
/// # Errors
/// Every problem, warnings among them, when at least one is an error; files that cannot be read are problems
/// too.
pub fn load_dir(directory: &Path) -> Result<Loaded, Problems> {
    let mut findings = Findings::default();
    let mut read = |file| read_file(directory, file, &mut findings);
    let (database, sites, network, policy) = (read(DATABASE), read(SITES), read(NETWORK), read(POLICY));
    check_private_key_mode(directory, &mut findings);
    let documents = Documents {
        database: database.as_deref(),
        sites: sites.as_deref(),
        network: network.as_deref(),
        policy: policy.as_deref(),
    };
    load_with(documents, findings)
}

/// Reads what [`Topology::to_json`] made.
pub(crate) fn load_stored(text: &str) -> Result<Topology, Problems> {
    let mut findings = Findings::default();
    let drafts = read_stored(text, &mut findings);
    finish(drafts, findings).map(|loaded| loaded.topology)
}

fn load_with(documents: Documents<'_>, mut findings: Findings) -> Result<Loaded, Problems> {
    let mut parse = |file, bytes| Document::parse(file, bytes, &mut findings);
    let database = documents.database.and_then(|bytes| parse(DATABASE, bytes));
    let sites = documents.sites.and_then(|bytes| parse(SITES, bytes));
    let network = documents.network.and_then(|bytes| parse(NETWORK, bytes));
    let policy = documents.policy.and_then(|bytes| parse(POLICY, bytes));
    report_missing(documents, &mut findings);
    let drafts = Drafts {
        database: database.map_or_else(no_database, |it| read_database(&it.root(), &mut findings)),
        sites: sites.and_then(|it| read_sites(&it.root(), &mut findings)),
        network: network.map_or_else(NetworkDraft::default, |it| read_network(&it.root(), &mut findings)),
        policy: policy.map_or_else(PolicyDraft::default, |it| read_policy(&it.root(), &mut findings)),
    };
    finish(drafts, findings)
}

fn report_missing(documents: Documents<'_>, findings: &mut Findings) {
    if documents.sites.is_none() {
        findings
            .error(&whole(SITES), "file.missing", format!("there is no `{SITES}`"))
            .hint("Make a configuration directory: sb-cli init");
    }
    if documents.database.is_none() {
        findings
            .warning(&whole(DATABASE), "file.missing", format!("there is no `{DATABASE}`"))
            .detail("The database and its owner are called `showbuild`, and the password is empty.");
    }
}

fn no_database() -> DatabaseDraft {
    DatabaseDraft { host: None, settings: DatabaseSettings::default() }
}

fn read_stored(text: &str, findings: &mut Findings) -> Drafts {
    let mut drafts = Drafts {
        database: no_database(),
        sites: None,
        network: NetworkDraft::default(),
        policy: PolicyDraft::default(),
    };
    let Some(document) = Document::parse(TOPOLOGY, text.as_bytes(), findings) else { return drafts };
    let Some(mut object) = document.root().object(findings) else { return drafts };
    if let Some(node) = object.required("database", findings) {
        drafts.database = read_database(&node, findings);
    }
    if let Some(node) = object.required("sites", findings) {
        drafts.sites = read_sites(&node, findings);
    }
    if let Some(node) = object.required("policy", findings) {
        drafts.policy = read_policy(&node, findings);
    }
    object.finish(findings);
    drafts
}

fn finish(drafts: Drafts, mut findings: Findings) -> Result<Loaded, Problems> {
    // Who votes and who is waited for cannot be said of sites that could be read in part only.
    let sites_are_whole = !findings.has_error_in(&[SITES, TOPOLOGY]);
    check_drafts(&drafts, &mut findings);
    let topology = build_topology(&drafts);
    if sites_are_whole {
        check_cluster(&topology, &drafts.policy, &mut findings);
    }
    let failed = findings.has_error();
    let problems = findings.into_problems();
    if failed {
        return Err(Problems::new(problems));
    }
    Ok(Loaded { topology, network: drafts.network.settings, warnings: problems })
}

fn whole(file: &'static str) -> Place {
    Place { file, pointer: String::new(), line: 0 }
}

/// The bytes of a file; one that does not exist is nothing, one that cannot be read is a finding.
fn read_file(directory: &Path, file: &'static str, findings: &mut Findings) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed, so that a longer file is noticed.
    let limit = DOCUMENT_BYTES_MAX as u64 + 1;
    let read = File::open(directory.join(file)).and_then(|open| open.take(limit).read_to_end(&mut bytes));
    match read {
        Ok(_) => Some(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            findings
                .error(
                    &whole(file),
                    "file.unreadable",
                    format!("could not read `{}`", directory.join(file).display()),
                )
                .detail(format!("The system says: {error}."));
            None
        }
    }
}

#[cfg(unix)]
fn check_private_key_mode(directory: &Path, findings: &mut Findings) {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join(PRIVATE_KEY);
    let Ok(metadata) = path.metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        findings
            .error(&whole(PRIVATE_KEY), "network.private_key.mode", format!("others can use `{PRIVATE_KEY}`"))
            .detail(format!("Its mode is {mode:04o}; it must be 0600."))
            .hint(format!("chmod 600 {}", path.display()));
    }
}

#[cfg(not(unix))]
fn check_private_key_mode(_directory: &Path, _findings: &mut Findings) {}
