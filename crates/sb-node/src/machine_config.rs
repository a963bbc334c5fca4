//! What the failover machine is told about its server, from the topology and the store.

use sb_client::state::Identity;
use sb_consensus::Store;
use sb_failover::record::{Durability, Member, TTL_MS_MAX};
use sb_failover::{Config, Failsafe, Founding, Incarnation, Session, Timings};
use sb_topology::{Server, Topology};

use crate::replicated::Replicated;

/// The configuration of `me`'s machine for one run of the agent.
#[must_use]
pub fn machine_config(
    topology: &Topology,
    me: &Server,
    identity: &Identity,
    store: &Store<Replicated>,
    session: Session,
) -> Config {
    let site = topology.site(&me.site);
    let member = Member {
        incarnation: Incarnation::new(store.member().id.get()),
        site: me.site.clone(),
        priority: site.map_or(u32::MAX, |site| u32::from(site.priority)),
        promotable: me.has_postgres(),
        sync_eligible: topology.sync_servers().any(|server| server.name == me.name),
    };
    let founds = identity.bootstrap && topology.initial_primary().name == me.name;
    let founding = match (me.has_postgres(), founds) {
        (false, _) => Founding::Witness,
        (true, true) => founder(topology),
        (true, false) => Founding::Joiner,
    };
    Config { me: me.name.clone(), member, session, founding, timings: timings(topology) }
}

fn founder(topology: &Topology) -> Founding {
    let durability = match topology.durability() {
        sb_topology::Durability::Async => Durability::Async,
        sb_topology::Durability::Sync => Durability::Sync,
        sb_topology::Durability::Strict => Durability::Strict,
    };
    let number = if durability.is_synchronous() { usize::from(topology.policy().durability.n) } else { 0 };
    Founding::Founder {
        durability,
        number,
        lag_bytes_max: topology.policy().failover.lag_bound_bytes,
        automatic: topology.automatic_failover().into(),
    }
}

/// How much longer than the policy's lease the holder may make its own while the store is slow.
const TTL_MAX_FACTOR: u64 = 3;

/// The machine's times by the policy.
#[must_use]
pub fn timings(topology: &Topology) -> Timings {
    let failover = &topology.policy().failover;
    let chosen = failover.timings;
    Timings {
        ttl_ms: chosen.lease_ttl_ms,
        renew_ms: chosen.renew_ms,
        fence_lead_ms: chosen.fence_lead_ms,
        margin_ms: chosen.margin_ms,
        drift_ppm: u64::from(chosen.drift_ppm),
        restart_budget_ms: failover.restart_budget_ms,
        failsafe: match failover.failsafe {
            sb_topology::Failsafe::Off => Failsafe::Off,
            sb_topology::Failsafe::On => Failsafe::On,
        },
        ttl_ms_max: chosen.lease_ttl_ms.saturating_mul(TTL_MAX_FACTOR).min(TTL_MS_MAX),
        election_max_ms: chosen.election_max_ms,
        fallback_after_ms: topology.policy().durability.fallback_after_ms,
        ..Timings::default()
    }
}
