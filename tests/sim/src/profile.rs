use sb_failover::mutant::Mutant;
use sb_failover::record::Durability;
use sb_failover::{Failsafe, Timings};

/// Which servers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Five sites, six servers: a voter at each site, the first site's second server learns.
    FiveSites,
    /// Three sites with a server each.
    ThreeServers,
    /// Two sites with two servers each, and a third voter without PostgreSQL.
    TwoSitesAndWitness,
    /// Five sites of which one has `replicationMode: sync`.
    OneSyncSite,
}

/// How far apart servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Round trips of the real sites: 1, 8, 15 and 75 ms.
    Sites,
    /// Nearly none.
    Minimal,
}

/// What a world is made of: how long things take, and what the cluster promises.
#[derive(Clone, Debug)]
pub struct Profile {
    /// As `--profile` knows it.
    pub name: &'static str,
    /// Which servers there are.
    pub shape: Shape,
    /// What a commit waits for.
    pub durability: Durability,
    /// The machine's times.
    pub timings: Timings,
    /// How far apart servers are.
    pub wire: Wire,
    /// Clocks run up to this much too fast or too slow.
    pub clock_ppm: i64,
    pub(crate) kill_ms: (u64, u64),
    pub(crate) promote_ms: (u64, u64),
    pub(crate) start_ms: (u64, u64),
    /// How long an fsync of the store's log takes, in microseconds.
    pub(crate) sync_us: (u64, u64),
    /// Of 100 operations on PostgreSQL, how many fail.
    pub(crate) failing_operations: u64,
    /// A fault comes after this long.
    pub(crate) fault_every_ms: (u64, u64),
    /// The rule that is broken on purpose.
    pub mutant: Option<Mutant>,
}

/// Every profile there is. Without another word a schedule takes the one that its seed falls on.
pub const PROFILES: &[&str] = &[
    "sites-async",
    "sites-sync",
    "sites-strict",
    "adversarial-async",
    "adversarial-sync",
    "three-sync",
    "three-async",
    "one-sync-site",
    "failsafe-async",
    "failsafe-sync",
    "adversarial-failsafe-async",
    "adversarial-failsafe-sync",
    "witness-sync",
];

impl Profile {
    /// The profile of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = *PROFILES.iter().find(|known| **known == name)?;
        let sites = Self { name, ..Self::sites() };
        let (three, witness) = (Shape::ThreeServers, Shape::TwoSitesAndWitness);
        Some(match name {
            "sites-sync" => Self { durability: Durability::Sync, ..sites },
            "sites-strict" => Self { durability: Durability::Strict, ..sites },
            "adversarial-async" => sites.without_margins(),
            "adversarial-sync" => Self { durability: Durability::Sync, ..sites.without_margins() },
            "three-sync" => Self { durability: Durability::Sync, shape: three, ..sites },
            "three-async" => Self { shape: three, ..sites },
            "witness-sync" => Self { durability: Durability::Sync, shape: witness, ..sites },
            "failsafe-async" => sites.with_failsafe(),
            "failsafe-sync" => Self { durability: Durability::Sync, ..sites }.with_failsafe(),
            "adversarial-failsafe-async" => sites.without_margins().with_failsafe(),
            "adversarial-failsafe-sync" => {
                Self { durability: Durability::Sync, ..sites.without_margins() }.with_failsafe()
            }
            "one-sync-site" => Self { durability: Durability::Sync, shape: Shape::OneSyncSite, ..sites },
            _ => sites,
        })
    }

    /// The profile of a seed, when none is asked for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let count = PROFILES.len() as u64;
        let name = PROFILES[usize::try_from(seed % count).unwrap_or_default()];
        Self::named(name).unwrap_or_else(Self::sites)
    }

    /// Like the real sites, asynchronous.
    fn sites() -> Self {
        Self {
            name: "sites-async",
            shape: Shape::FiveSites,
            durability: Durability::Async,
            timings: Timings {
                shrink_after_ms: 3_000,
                fallback_after_ms: 4_000,
                promote_limit_ms: 5_000,
                ..Timings::default()
            },
            wire: Wire::Sites,
            clock_ppm: 1_000,
            kill_ms: (5, 400),
            promote_ms: (50, 600),
            start_ms: (50, 800),
            sync_us: (200, 4_000),
            failing_operations: 4,
            fault_every_ms: (300, 5_000),
            mutant: None,
        }
    }

    /// Nothing hides a mistake: no fence lead, no time to promote, hardly a delay, clocks at their limits.
    fn without_margins(self) -> Self {
        let timings = Timings {
            fence_lead_ms: 0,
            margin_ms: 1,
            drift_ppm: 10_000,
            promote_budget_ms: 0,
            collect_ms: 0,
            rank_step_ms: 1,
            ..self.timings
        };
        Self {
            timings,
            wire: Wire::Minimal,
            clock_ppm: 10_000,
            kill_ms: (0, 1),
            promote_ms: (0, 1),
            start_ms: (0, 5),
            sync_us: (10, 500),
            fault_every_ms: (300, 3_000),
            ..self
        }
    }

    /// The holder may go on without the store, which is away more often.
    fn with_failsafe(mut self) -> Self {
        self.timings.failsafe = Failsafe::On;
        self
    }

    /// This profile with a rule broken.
    #[must_use]
    pub fn with(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    /// The site of each server.
    pub(crate) fn sites_of_servers(&self) -> Vec<usize> {
        match self.shape {
            Shape::FiveSites | Shape::OneSyncSite => vec![0, 0, 1, 2, 3, 4],
            Shape::ThreeServers => vec![0, 1, 2],
            Shape::TwoSitesAndWitness => vec![0, 0, 1, 1, 2],
        }
    }

    /// Whether a server has a vote in the store.
    pub(crate) fn votes(&self, server: usize) -> bool {
        match self.shape {
            Shape::FiveSites | Shape::OneSyncSite => server != 1,
            Shape::ThreeServers => true,
            Shape::TwoSitesAndWitness => matches!(server, 0 | 2 | 4),
        }
    }

    /// Whether a server has PostgreSQL.
    pub(crate) fn has_postgres(&self, server: usize) -> bool {
        self.shape != Shape::TwoSitesAndWitness || server != 4
    }

    /// Whether a commit may wait for a server.
    pub(crate) fn sync_eligible(&self, server: usize) -> bool {
        let chosen = self.shape != Shape::OneSyncSite || server == 2 || server < 2;
        self.durability.is_synchronous() && chosen && self.has_postgres(server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_profile_with_sound_times() {
        for name in PROFILES {
            let profile = Profile::named(name).unwrap();
            assert_eq!((profile.name, profile.timings.check()), (*name, Ok(())));
        }
        assert!(Profile::named("none").is_none());
    }
}
