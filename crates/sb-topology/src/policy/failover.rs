use serde::{Deserialize, Serialize};

/// When and how another server takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// Where the timings come from.
    pub profile: FailoverProfile,
    /// The timings in force: the profile's, or those of the document when the profile is `custom`.
    pub timings: FailoverTimings,
    /// `async` only: how many bytes of log a server may lack, against the last position that the primary
    /// recorded, and still take over by itself.
    pub lag_bound_bytes: u64,
    /// How long a crashed PostgreSQL may take to come back in place before its server gives up the lease, in
    /// milliseconds.
    pub restart_budget_ms: u64,
    /// What the primary does when the store has no majority.
    pub failsafe: Failsafe,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            profile: FailoverProfile::Default,
            timings: FailoverTimings::DEFAULT,
            lag_bound_bytes: 1 << 20,
            restart_budget_ms: 5_000,
            failsafe: Failsafe::Off,
        }
    }
}

/// A set of timings by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverProfile {
    /// For round trips up to 80 ms, with room for lost packets.
    #[default]
    Default,
    /// For round trips up to 80 ms on good lines: a shorter lease, more traffic.
    Fast,
    /// The document's own timings.
    Custom,
}

/// What the primary does when the store has no majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Failsafe {
    /// It is fenced when its lease ends.
    #[default]
    Off,
    /// It goes on while every server that could take over promises not to.
    On,
}

/// Timings of the store, the lease and the fence. All relations between them hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailoverTimings {
    /// Between two heartbeats of the store's leader, in milliseconds.
    pub heartbeat_ms: u64,
    /// Shortest silence after which a follower calls an election of the store, in milliseconds.
    pub election_min_ms: u64,
    /// Longest such silence, in milliseconds.
    pub election_max_ms: u64,
    /// Between two renewals of the lease, in milliseconds.
    pub renew_ms: u64,
    /// Length of the lease, in milliseconds.
    pub lease_ttl_ms: u64,
    /// How long before the lease ends the guard kills PostgreSQL, in milliseconds.
    pub fence_lead_ms: u64,
    /// How far the rates of two servers' clocks may differ from true, in parts per million.
    pub drift_ppm: u32,
    /// What a waiter adds to the lease beyond drift, in milliseconds.
    pub margin_ms: u64,
}

impl FailoverTimings {
    /// Profile `default`: writes are back about 4.5 s after the worst moment to lose the primary's host.
    pub const DEFAULT: Self = Self {
        heartbeat_ms: 250,
        election_min_ms: 800,
        election_max_ms: 1_200,
        renew_ms: 500,
        lease_ttl_ms: 3_500,
        fence_lead_ms: 500,
        drift_ppm: 1_000,
        margin_ms: 50,
    };

    /// Profile `fast`: about 3.5 s.
    pub const FAST: Self = Self {
        heartbeat_ms: 100,
        election_min_ms: 400,
        election_max_ms: 700,
        renew_ms: 400,
        lease_ttl_ms: 2_500,
        fence_lead_ms: 400,
        drift_ppm: 1_000,
        margin_ms: 50,
    };

    /// How long a waiter counts from the renewal that it saw applied before the lease is over for it, in
    /// milliseconds: ttl·(1+ρ)/(1−ρ) + margin, rounded up (rule R2).
    #[must_use]
    pub fn takeover_wait_ms(&self) -> u64 {
        const MILLION: u64 = 1_000_000;
        let drift = u64::from(self.drift_ppm);
        (self.lease_ttl_ms * (MILLION + drift)).div_ceil(MILLION - drift) + self.margin_ms
    }
}
