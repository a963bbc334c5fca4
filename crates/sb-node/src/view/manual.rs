//! What a person is told where the next step is theirs: no server takes over by itself, or the majority is lost.

use sb_api::{Role, ServerStatus, Status};
use sb_failover::ClusterRecord;
use sb_failover::record::Automatic;

use super::cluster::takes_no_writes;

/// The rule that keeps every server from taking over by itself, if one does.
pub(super) fn detail(record: &ClusterRecord) -> Option<String> {
    match record.automatic {
        Automatic::Allowed => None,
        Automatic::Refused(reason) => Some(format!("No server takes over by itself here: {reason}.")),
    }
}

/// What to type now, and what would make it unnecessary.
pub(super) fn hints(record: &ClusterRecord, status: &Status) -> Vec<String> {
    if record.lease.is_none() {
        return Vec::new();
    }
    if takes_no_writes(&status.cluster.store) {
        return vec![
            "Bring back servers that vote until a majority of them answers: nobody can lead before."
                .to_owned(),
            "If they are lost for good: sb-cli recover --plan shows what going on without them would cost."
                .to_owned(),
        ];
    }
    if record.automatic == Automatic::Allowed {
        return Vec::new();
    }
    let mut hints = Vec::new();
    let led = status.servers.iter().any(|s| matches!(s.role, Role::Primary | Role::Promoting));
    if !led && let Some(best) = most_log(status) {
        let name = &best.name;
        hints.push(format!("If the former primary is down: sb-cli failover --to {name}"));
    }
    hints.push(
        "For automatic failover the voters must be an odd number, at three sites or more: a small server \
         without PostgreSQL is enough as the third (`\"postgres\": false` in sites.json)."
            .to_owned(),
    );
    hints
}

/// The standby with the most log, as far as its timeline's number tells; the gates of the command judge it.
fn most_log(status: &Status) -> Option<&ServerStatus> {
    let standbys = status.servers.iter().filter(|s| s.role == Role::Standby && s.promotable == Some(true));
    let position = |s: &ServerStatus| s.flushed_lsn.as_ref()?.parse::<sb_pgtypes::Lsn>().ok();
    standbys.max_by_key(|s| (s.timeline, position(s)))
}
