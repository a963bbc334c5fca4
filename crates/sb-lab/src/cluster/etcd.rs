//! A real etcd among the lab's servers: one member at each site, as the embedded store has its voters.
//!
//! A member is a program of the host it runs on: it sees that host's network, falls and freezes with it, and comes back
//! with it on the data that it had. Its disk is its own, as etcd's documentation asks for.

use std::path::PathBuf;

use super::programs::ProgramsError;
use crate::brake::Brake;
use crate::host::Directories;
use crate::place::Place;
use crate::unit::Program;

/// Where clients ask.
pub const CLIENT_PORT: u16 = 2379;

/// Where members talk to each other.
pub const PEER_PORT: u16 = 2380;

/// etcd's own defaults, said here because the lab's figures rest on them. Its manual asks for the longest round trip,
/// 75 ms, and ten times as much.
const HEARTBEAT_MS: u32 = 100;
const ELECTION_MS: u32 = 1_000;

/// Versions older than this are forgotten; nobody asks for them.
const COMPACTION_RETENTION: &str = "5m";

/// Entries that a member keeps in memory. Each holds the whole record, and the default of 100,000 would be hundreds of
/// megabytes.
const SNAPSHOT_COUNT: u32 = 5_000;

/// A member that was cut off asks before it begins an election. Without it, which is the default up to 3.4, its return
/// costs a healthy etcd its leader, and that the primary its lease.
const PRE_VOTE: &str = "--pre-vote=true";

/// Whether a member runs on this server: on the first of each site.
#[must_use]
pub fn has_member(place: Place) -> bool {
    Place::servers().find(|other| other.site() == place.site()) == Some(place)
}

/// The servers with a member.
pub fn members() -> impl Iterator<Item = Place> {
    Place::servers().filter(|place| has_member(*place))
}

/// Where clients ask, by member.
pub(super) fn endpoints() -> Vec<String> {
    members().map(|place| url(place, CLIENT_PORT)).collect()
}

/// The member of a server.
///
/// # Errors
/// When etcd is not installed.
pub(crate) fn member(
    place: Place,
    directories: &Directories,
    brake: Option<&Brake>,
) -> Result<Program, ProgramsError> {
    let (client, peer) = (url(place, CLIENT_PORT), url(place, PEER_PORT));
    let cluster: Vec<String> = members().map(|it| format!("{it}={}", url(it, PEER_PORT))).collect();
    let options = [
        ("name", place.name().to_owned()),
        ("data-dir", directories.state.with_file_name("etcd").display().to_string()),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-state", "new".to_owned()),
        ("heartbeat-interval", HEARTBEAT_MS.to_string()),
        ("election-timeout", ELECTION_MS.to_string()),
        ("auto-compaction-mode", "periodic".to_owned()),
        ("auto-compaction-retention", COMPACTION_RETENTION.to_owned()),
        ("snapshot-count", SNAPSHOT_COUNT.to_string()),
        ("logger", "zap".to_owned()),
    ];
    let arguments = options.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]);
    Ok(Program {
        name: "etcd".to_owned(),
        path: find()?,
        arguments: arguments.chain([PRE_VOTE.to_owned()]).collect(),
        environment: Vec::new(),
        log: directories.log.join("etcd.log"),
        brake: brake.cloned(),
    })
}

fn url(place: Place, port: u16) -> String {
    format!("http://{}:{port}", place.address())
}

fn find() -> Result<PathBuf, ProgramsError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("etcd")).find(|it| it.is_file());
    found.ok_or(ProgramsError::NoEtcd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_has_one_member_and_any_site_may_be_lost() {
        let names: Vec<_> = members().map(Place::name).collect();
        assert_eq!(names, ["ravena-1", "burlington-1", "montpelier-1", "nantucket-1", "tucson-1"]);
        assert_eq!(endpoints()[0], "http://10.0.1.1:2379");
    }
}
