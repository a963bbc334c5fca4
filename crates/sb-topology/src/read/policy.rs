use crate::findings::{Findings, Place, Placed};
use crate::json::{Node, Object};
use crate::policy::{
    BackupPolicy, DurabilityPolicy, FailoverPolicy, FailoverProfile, FailoverTimings, Failsafe,
};
use crate::{Durability, Policy};

/// Longest time of a policy, in milliseconds: an hour.
const TIME_MS_MAX: u64 = 3_600_000;
/// Longest time in the store's and the lease's timings, in milliseconds.
const TIMING_MS_MAX: u64 = 600_000;
/// Least and most drift of a clock that can be planned for, in parts per million.
const DRIFT_PPM: std::ops::RangeInclusive<u32> = 100..=100_000;
/// Largest lag bound, in bytes: 1 TiB.
const LAG_BOUND_BYTES_MAX: u64 = 1 << 40;
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

const DURABILITIES: [(&str, Durability); 3] =
    [("async", Durability::Async), ("sync", Durability::Sync), ("strict", Durability::Strict)];

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
    for part in ["routing", "notifications", "maintenance"] {
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
    let profile = object.optional("profile").and_then(|node| node.word(&PROFILES, findings));
    policy.profile = profile.unwrap_or_default();
    policy.timings = read_timings(policy.profile, &mut object, findings);
    if let Some(bytes) =
        object.optional("lagBoundBytes").and_then(|node| node.integer(0..=LAG_BOUND_BYTES_MAX, findings))
    {
        policy.lag_bound_bytes = bytes;
    }
    if let Some(ms) =
        object.optional("restartBudgetMs").and_then(|node| node.integer(0..=TIME_MS_MAX, findings))
    {
        policy.restart_budget_ms = ms;
    }
    let switch = [("off", Failsafe::Off), ("on", Failsafe::On)];
    if let Some(failsafe) = object.optional("failsafe").and_then(|node| node.word(&switch, findings)) {
        policy.failsafe = failsafe;
    }
    object.finish(findings);
    policy
}

/// The profile's timings, or with `custom` those of the document over the default ones.
fn read_timings(
    profile: FailoverProfile,
    object: &mut Object<'_>,
    findings: &mut Findings,
) -> FailoverTimings {
    let mut timings = match profile {
        FailoverProfile::Default | FailoverProfile::Custom => FailoverTimings::DEFAULT,
        FailoverProfile::Fast => FailoverTimings::FAST,
    };
    let mut overridden: Vec<Placed<&'static str>> = Vec::new();
    let mut take = |key: &'static str, least: u64, value: &mut u64, findings: &mut Findings| {
        let Some(node) = object.optional(key) else { return };
        let Some(given) = node.integer(least..=TIMING_MS_MAX, findings) else { return };
        if given != *value {
            overridden.push(Placed { value: key, place: node.place });
        }
        *value = given;
    };
    take("heartbeatMs", 1, &mut timings.heartbeat_ms, findings);
    take("electionMinMs", 1, &mut timings.election_min_ms, findings);
    take("electionMaxMs", 1, &mut timings.election_max_ms, findings);
    take("renewMs", 1, &mut timings.renew_ms, findings);
    take("leaseTtlMs", 1, &mut timings.lease_ttl_ms, findings);
    take("fenceLeadMs", 1, &mut timings.fence_lead_ms, findings);
    take("marginMs", 0, &mut timings.margin_ms, findings);
    if let Some(node) = object.optional("driftPpm") {
        if let Some(ppm) = node.integer(DRIFT_PPM, findings) {
            if ppm != timings.drift_ppm {
                overridden.push(Placed { value: "driftPpm", place: node.place });
            }
            timings.drift_ppm = ppm;
        }
    }
    if profile != FailoverProfile::Custom {
        for Placed { value: key, place } in overridden {
            findings
                .error(
                    &place,
                    "policy.failover.not_custom",
                    format!("`{key}` differs from the profile's value"),
                )
                .hint("Set `\"profile\": \"custom\"` to choose timings, or leave this key out.");
        }
    }
    timings
}

fn read_durability(node: &Node<'_>, findings: &mut Findings) -> DurabilityPolicy {
    let mut policy = DurabilityPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    policy.mode = object.optional("mode").and_then(|node| node.word(&DURABILITIES, findings));
    let n = 1..=DurabilityPolicy::N_MAX;
    if let Some(n) = object.optional("n").and_then(|node| node.integer(n, findings)) {
        policy.n = n;
    }
    let fallback = FALLBACK_AFTER_MS_MIN..=TIME_MS_MAX;
    if let Some(ms) = object.optional("fallbackAfterMs").and_then(|node| node.integer(fallback, findings)) {
        policy.fallback_after_ms = ms;
    }
    object.finish(findings);
    policy
}

fn read_backup(node: &Node<'_>, findings: &mut Findings) -> BackupPolicy {
    let mut policy = BackupPolicy::default();
    let Some(mut object) = node.object(findings) else { return policy };
    if let Some(time) = object.optional("schedule").and_then(|node| node.parsed(findings)) {
        policy.schedule = time.value;
    }
    let mut count = |key, least: u16, value: &mut u16| {
        if let Some(given) =
            object.optional(key).and_then(|node| node.integer(least..=BackupPolicy::COUNT_MAX, findings))
        {
            *value = given;
        }
    };
    count("retentionDays", 1, &mut policy.retention_days);
    count("weekly", 0, &mut policy.weekly);
    count("monthly", 0, &mut policy.monthly);
    object.finish(findings);
    policy
}
