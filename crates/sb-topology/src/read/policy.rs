use super::routing::read_routing;
use super::store::read_store;
use crate::findings::{Findings, Place};
use crate::json::{Node, Object};
use crate::policy::{
    BackupPolicy, DurabilityPolicy, FailoverPolicy, FailoverProfile, FailoverTimings, Failsafe,
};
use crate::{Durability, Policy};

/// Longest time of a policy, in milliseconds: an hour.
pub(super) const TIME_MS_MAX: u64 = 3_600_000;
/// Longest time in the store's and the lease's timings, in milliseconds.
const TIMING_MS_MAX: u64 = 600_000;
/// Least and most drift of a clock that can be planned for, in parts per million.
const DRIFT_PPM: std::ops::RangeInclusive<u32> = 100..=100_000;
/// Largest lag bound, in bytes: 1 TiB.
pub(super) const LAG_BOUND_BYTES_MAX: u64 = 1 << 40;
/// Shortest wait before a fall back, in milliseconds.
const FALLBACK_AFTER_MS_MIN: u64 = 500;

/// `policy.json` as read.
#[derive(Default)]
pub(crate) struct PolicyDraft {
    pub(crate) policy: Policy,
    /// Where `failover` stands.
    pub(crate) failover: Option<Place>,
    /// Where `durability` stands.
    pub(crate) durability: Option<Place>,
}

const PROFILES: [(&str, FailoverProfile); 3] = [
    ("default", FailoverProfile::Default),
    ("fast", FailoverProfile::Fast),
    ("custom", FailoverProfile::Custom),
];

/// `available` is another name for `sync`: it falls back rather than let commits wait for ever.
const DURABILITIES: [(&str, Durability); 4] = [
    ("async", Durability::Async),
    ("sync", Durability::Sync),
    ("strict", Durability::Strict),
    ("available", Durability::Sync),
];

const FAILSAFES: [(&str, Failsafe); 2] = [("off", Failsafe::Off), ("on", Failsafe::On)];

/// Reads `policy.json`.
pub(crate) fn read_policy(root: &Node<'_>, findings: &mut Findings) -> PolicyDraft {
    let mut draft = PolicyDraft::default();
    let Some(mut object) = root.object(findings) else { return draft };
    if let Some(node) = object.optional("failover") {
        draft.policy.failover = read_failover(&node, findings);
        draft.failover = Some(node.place);
    }
    if let Some(node) = object.optional("durability") {
        draft.policy.durability = read_durability(&node, findings);
        draft.durability = Some(node.place);
    }
    if let Some(node) = object.optional("backup") {
        draft.policy.backup = read_backup(&node, findings);
    }
    if let Some(node) = object.optional("store") {
        draft.policy.store = read_store(&node, findings);
    }
    if let Some(node) = object.optional("routing") {
        draft.policy.routing = read_routing(&node, findings);
    }
    for part in ["notifications", "maintenance"] {
        if let Some(settings) = object.optional(part).and_then(|node| node.object(findings)) {
            settings.finish(findings);
        }
    }
    object.finish(findings);
    draft
}

fn read_failover(node: &Node<'_>, findings: &mut Findings) -> FailoverPolicy {
    let mut policy = FailoverPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    object.set_word("profile", &mut policy.profile, &PROFILES, findings);
    policy.timings = read_timings(policy.profile, &mut object, findings);
    object.set_integer("lagBoundBytes", &mut policy.lag_bound_bytes, 0..=LAG_BOUND_BYTES_MAX, findings);
    object.set_integer("restartBudgetMs", &mut policy.restart_budget_ms, 0..=TIME_MS_MAX, findings);
    object.set_word("failsafe", &mut policy.failsafe, &FAILSAFES, findings);
    object.finish(findings);
    policy
}

/// The profile's timings, or with `custom` those of the document over the default ones.
fn read_timings(
    profile: FailoverProfile,
    object: &mut Object<'_>,
    findings: &mut Findings,
) -> FailoverTimings {
    let base = match profile {
        FailoverProfile::Default | FailoverProfile::Custom => FailoverTimings::DEFAULT,
        FailoverProfile::Fast => FailoverTimings::FAST,
    };
    let mut given = base;
    let time_ms = 1..=TIMING_MS_MAX;
    object.set_integer("heartbeatMs", &mut given.heartbeat_ms, time_ms.clone(), findings);
    object.set_integer("electionMinMs", &mut given.election_min_ms, time_ms.clone(), findings);
    object.set_integer("electionMaxMs", &mut given.election_max_ms, time_ms.clone(), findings);
    object.set_integer("renewMs", &mut given.renew_ms, time_ms.clone(), findings);
    object.set_integer("leaseTtlMs", &mut given.lease_ttl_ms, time_ms.clone(), findings);
    object.set_integer("fenceLeadMs", &mut given.fence_lead_ms, time_ms, findings);
    object.set_integer("marginMs", &mut given.margin_ms, 0..=TIMING_MS_MAX, findings);
    object.set_integer("driftPpm", &mut given.drift_ppm, DRIFT_PPM, findings);
    if profile == FailoverProfile::Custom {
        return given;
    }
    for (key, differs) in [
        ("heartbeatMs", given.heartbeat_ms != base.heartbeat_ms),
        ("electionMinMs", given.election_min_ms != base.election_min_ms),
        ("electionMaxMs", given.election_max_ms != base.election_max_ms),
        ("renewMs", given.renew_ms != base.renew_ms),
        ("leaseTtlMs", given.lease_ttl_ms != base.lease_ttl_ms),
        ("fenceLeadMs", given.fence_lead_ms != base.fence_lead_ms),
        ("marginMs", given.margin_ms != base.margin_ms),
        ("driftPpm", given.drift_ppm != base.drift_ppm),
    ] {
        if differs {
            let message = format!("`{key}` differs from the profile's value");
            findings
                .error(object.place_of(key), "policy.failover.not_custom", message)
                .hint("Set `\"profile\": \"custom\"` to choose timings, or leave this key out.");
        }
    }
    base
}

fn read_durability(node: &Node<'_>, findings: &mut Findings) -> DurabilityPolicy {
    let mut policy = DurabilityPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    let fallback_ms = FALLBACK_AFTER_MS_MIN..=TIME_MS_MAX;
    policy.mode = object.optional("mode").and_then(|node| node.word(&DURABILITIES, findings));
    object.set_integer("n", &mut policy.n, 1..=DurabilityPolicy::N_MAX, findings);
    object.set_integer("fallbackAfterMs", &mut policy.fallback_after_ms, fallback_ms, findings);
    object.finish(findings);
    policy
}

fn read_backup(node: &Node<'_>, findings: &mut Findings) -> BackupPolicy {
    let mut policy = BackupPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    if let Some(time) = object.optional("schedule").and_then(|node| node.parsed(findings)) {
        policy.schedule = time.value;
    }
    object.set_integer("retentionDays", &mut policy.retention_days, 1..=BackupPolicy::COUNT_MAX, findings);
    object.set_integer("weekly", &mut policy.weekly, 0..=BackupPolicy::COUNT_MAX, findings);
    object.set_integer("monthly", &mut policy.monthly, 0..=BackupPolicy::COUNT_MAX, findings);
    object.finish(findings);
    policy
}
