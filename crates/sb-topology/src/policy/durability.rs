use crate::Durability;

/// What a confirmed commit promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurabilityPolicy {
    /// The mode; [`None`] to follow the sites' `replicationMode`.
    pub mode: Option<Durability>,
    /// On how many other servers a commit must be.
    pub n: u8,
    /// `sync` only: how long fewer than `n` standbys may stay silent before the fall back is recorded, in
    /// milliseconds.
    pub fallback_after_ms: u64,
}

impl DurabilityPolicy {
    /// Most servers a commit can be asked to be on.
    pub const N_MAX: u8 = 8;
}

impl Default for DurabilityPolicy {
    fn default() -> Self {
        Self { mode: None, n: 1, fallback_after_ms: 10_000 }
    }
}
