//! The relations between the timings of `policy.json` (rule R2).

use crate::FailoverTimings;
use crate::findings::{Findings, Place};
use crate::read::PolicyDraft;

/// Heartbeats in the shortest election timeout: two may be lost.
const HEARTBEATS_PER_ELECTION: u64 = 3;
/// Renewals in the writable part of a lease: one may be lost.
const RENEWALS_PER_LEASE: u64 = 2;
/// Shortest fence: SIGKILL follows SIGQUIT after 200 ms and takes some time.
const FENCE_LEAD_MS_MIN: u64 = 250;
/// Measured: the store has a leader again after at most 1.75 × the longest election timeout.
const ELECTION_QUARTERS: u64 = 7;
/// Two round trips of 80 ms, two slow writes and a retry.
const ROUND_TRIPS_MS: u64 = 360;

/// A relation that has to hold.
struct Relation {
    holds: bool,
    code: &'static str,
    message: &'static str,
    detail: String,
}

/// Checks that the timings fit together.
pub(super) fn check(draft: &PolicyDraft, findings: &mut Findings) {
    let nowhere = || Place { file: crate::load::POLICY, pointer: "/failover".to_owned(), line: 0 };
    let place = draft.failover.clone().unwrap_or_else(nowhere);
    let timings = draft.policy.failover.timings;
    let mut all_hold = true;
    for relation in relations(timings).into_iter().filter(|relation| !relation.holds) {
        findings.error(&place, relation.code, relation.message).detail(relation.detail);
        all_hold = false;
    }
    if all_hold {
        check_election_fits(timings, &place, findings);
    }
}

fn relations(t: FailoverTimings) -> [Relation; 4] {
    [
        Relation {
            holds: HEARTBEATS_PER_ELECTION * t.heartbeat_ms <= t.election_min_ms,
            code: "policy.failover.heartbeat",
            message: "`electionMinMs` is too short for `heartbeatMs`",
            detail: format!(
                "{} < {HEARTBEATS_PER_ELECTION} × {}: lost packets would end the store's leader.",
                t.election_min_ms, t.heartbeat_ms,
            ),
        },
        Relation {
            holds: t.election_min_ms < t.election_max_ms,
            code: "policy.failover.election",
            message: "`electionMaxMs` is not longer than `electionMinMs`",
            detail: "Servers draw their timeout between the two, so that they do not all call at once."
                .to_owned(),
        },
        Relation {
            holds: t.fence_lead_ms >= FENCE_LEAD_MS_MIN,
            code: "policy.failover.fence_lead",
            message: "`fenceLeadMs` is too short to kill PostgreSQL",
            detail: format!(
                "{} < {FENCE_LEAD_MS_MIN}: the second signal follows after 200 ms.",
                t.fence_lead_ms
            ),
        },
        Relation {
            holds: RENEWALS_PER_LEASE * t.renew_ms + t.fence_lead_ms <= t.lease_ttl_ms,
            code: "policy.failover.lease",
            message: "`leaseTtlMs` is too short for `renewMs` and `fenceLeadMs`",
            detail: format!(
                "{} < {RENEWALS_PER_LEASE} × {} + {}: one lost renewal would fence the primary.",
                t.lease_ttl_ms, t.renew_ms, t.fence_lead_ms,
            ),
        },
    ]
}

/// A lease outlives an election of the store; else the loss of any server that leads it fences the primary.
fn check_election_fits(t: FailoverTimings, place: &Place, findings: &mut Findings) {
    let election_ms = t.election_max_ms * ELECTION_QUARTERS / 4;
    let needed_ms = t.renew_ms + election_ms + ROUND_TRIPS_MS + t.fence_lead_ms;
    if needed_ms > t.lease_ttl_ms {
        findings
            .warning(place, "policy.failover.tight_lease", "`leaseTtlMs` is shorter than an election of the store")
            .detail(format!(
                "{} < {needed_ms} (renewal {} + election {election_ms} + round trips {ROUND_TRIPS_MS} + fence {}): \
                 the loss of the store's leader alone would fence the primary.",
                t.lease_ttl_ms, t.renew_ms, t.fence_lead_ms,
            ))
            .hint(format!("Use at least {needed_ms}, or shorter election timeouts."));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailoverPolicy, Policy};

    #[test]
    fn the_profiles_satisfy_every_relation() {
        for timings in [FailoverTimings::DEFAULT, FailoverTimings::FAST] {
            let failover = FailoverPolicy { timings, ..FailoverPolicy::default() };
            let draft =
                PolicyDraft { policy: Policy { failover, ..Policy::default() }, ..PolicyDraft::default() };
            let mut findings = Findings::default();
            check(&draft, &mut findings);
            assert_eq!(findings.into_problems(), []);
        }
    }

    #[test]
    fn a_waiter_waits_longer_than_the_lease_by_drift_and_margin() {
        assert_eq!(FailoverTimings::DEFAULT.takeover_wait_ms(), 3_500 + 8 + 50);
    }
}
