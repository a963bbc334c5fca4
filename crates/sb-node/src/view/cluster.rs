//! The cluster as this server sees it.

use std::collections::BTreeMap;
use std::time::Duration;

use sb_api::{
    ClusterStatus, Durability, FailsafePart, HistoryEntry, Level, PauseStatus, Role, SCHEMA_VERSION,
    ServerStatus, SiteStatus, Status, StoreEndpoint, StoreKind, StoreRole, StoreStatus, Verdict,
};
use sb_failover::ClusterRecord;
use sb_failover::record::{self, Automatic, HandoverReason};
use sb_topology::ServerName;

use super::{Agent, manual};
use crate::membership::{given_up, store_roles};
use crate::peers::{STALE_MS, Word};

/// Contact with a majority older than this is none, in milliseconds.
const MAJORITY_MS_MAX: u64 = 2_500;

impl Agent {
    pub(super) fn cluster_status(&self, peers: &BTreeMap<ServerName, Word>) -> Status {
        let record = self.record();
        let in_order = self.sites_in_order().into_iter().flat_map(|site| &site.servers);
        let servers: Vec<ServerStatus> = in_order.map(|server| self.status_of(&server.name, peers)).collect();
        Status {
            schema_version: SCHEMA_VERSION,
            observer: self.me.name.to_string(),
            at: crate::operations::now(),
            cluster: self.cluster(&record, &servers),
            sites: self.sites(),
            servers,
        }
    }

    fn status_of(&self, name: &ServerName, peers: &BTreeMap<ServerName, Word>) -> ServerStatus {
        let mut status = self.heard_of(name, peers);
        if self.record().branch.given_up.contains(name) {
            status.problems.push(given_up(name));
        }
        status
    }

    fn heard_of(&self, name: &ServerName, peers: &BTreeMap<ServerName, Word>) -> ServerStatus {
        if *name == self.me.name {
            return self.own_status();
        }
        let site = self.topology.site_of(name).map_or("", |site| site.name.as_str());
        let fresh = |word: &&Word| word.heard.elapsed() < Duration::from_millis(STALE_MS);
        match peers.get(name).filter(fresh) {
            Some(word) => {
                let mut status = word.status.server.clone();
                status.reachable = Some(true);
                status.rtt_ms = Some(word.round_trip.as_secs_f64() * 1_000.0);
                status
            }
            None => {
                let mut status = ServerStatus::unknown(name.as_str(), site);
                status.reachable = Some(false);
                let roles = store_roles(&self.store.health().borrow());
                status.store_role = roles.get(name.as_str()).copied().unwrap_or(StoreRole::Unknown);
                status
            }
        }
    }

    fn cluster(&self, record: &ClusterRecord, servers: &[ServerStatus]) -> ClusterStatus {
        let store = self.store_status();
        ClusterStatus {
            id: self.identity.cluster_id.clone(),
            name: self.identity.cluster_name.clone(),
            durability: match record.sync.durability {
                record::Durability::Async => Durability::Async,
                record::Durability::Sync => Durability::Sync,
                record::Durability::Strict => Durability::Strict,
            },
            term: record.lease.as_ref().map(|lease| lease.term.get()),
            primary: record.holder().map(ToString::to_string),
            verdict: verdict(record, servers, &store),
            paused: record.pause.as_ref().map(|pause| PauseStatus {
                by: pause.by.clone(),
                reason: Some(pause.reason.clone()).filter(|reason| !reason.is_empty()),
                remaining_seconds: self.operations.pause_remaining(record).map(|left| left.as_secs()),
            }),
            degraded: degraded(record, self.operations.fell_back_at()),
            store,
            topology_generation: Some(record.topology.generation).filter(|generation| *generation > 0),
            last_handover: self.handovers().pop(),
            manual_failover: manual_failover(record),
        }
    }

    pub(super) fn store_status(&self) -> StoreStatus {
        let health = self.store.health().borrow().clone();
        // In an etcd the votes are its own members'.
        let raft = health.etcd.is_none().then_some(&health.membership);
        StoreStatus {
            leader: health.leader.as_ref().and_then(|leader| leader.name.clone()),
            voters: raft.into_iter().flat_map(|it| it.voters()).map(|m| m.name.clone()).collect(),
            learners: raft.into_iter().flat_map(|it| it.learners()).map(|m| m.name.clone()).collect(),
            majority: health.quorum_contact_age_ms.map(|age| age < MAJORITY_MS_MAX),
            kind: if health.etcd.is_some() { StoreKind::Etcd } else { StoreKind::Raft },
            endpoints: health.etcd.into_iter().flat_map(|etcd| etcd.endpoints).map(endpoint).collect(),
        }
    }

    fn sites(&self) -> Vec<SiteStatus> {
        let site = |site: &sb_topology::Site| SiteStatus {
            name: site.name.to_string(),
            title: Some(site.label.clone()),
            servers: site.servers.iter().map(|s| s.name.to_string()).collect(),
        };
        self.sites_in_order().into_iter().map(site).collect()
    }

    /// In the order of preference: where the cluster began, then by priority.
    fn sites_in_order(&self) -> Vec<&sb_topology::Site> {
        let mut sites: Vec<_> = self.topology.sites().iter().collect();
        let home = &self.topology.primary_site().name;
        sites.sort_by_key(|site| (site.name != *home, site.priority));
        sites
    }

    /// The changes of term in the record; their moments are those that this server's journal noted.
    pub(super) fn handovers(&self) -> Vec<HistoryEntry> {
        let record = self.record();
        let entry = |handover: &record::Handover| HistoryEntry {
            term: handover.term.get(),
            primary: handover.to.to_string(),
            previous: handover.from.as_ref().map(ToString::to_string),
            at: self.operations.moment_of(handover.term),
            reason: reason(handover.reason).to_owned(),
            by: None,
            position: handover.position.as_ref().map(|p| format!("{}@{}", p.lineage.current(), p.flushed)),
        };
        record.history.iter().map(entry).collect()
    }
}

fn endpoint(health: sb_consensus::EtcdEndpointHealth) -> StoreEndpoint {
    StoreEndpoint {
        url: health.url,
        answers: health.version.is_some(),
        version: health.version,
        leads: health.leads,
        database_bytes: health.database_bytes,
        trouble: health.trouble,
    }
}

const fn reason(reason: HandoverReason) -> &'static str {
    match reason {
        HandoverReason::Initialized => "bootstrap",
        HandoverReason::Expired => "failover",
        HandoverReason::Released => "released",
        HandoverReason::Switchover => "switchover",
        HandoverReason::Failover => "manual failover",
    }
}

/// Why the promise asked for is not kept at present.
fn degraded(record: &ClusterRecord, since: Option<String>) -> Option<String> {
    let sync = &record.sync;
    record.lease.as_ref()?;
    if sync.durability == record::Durability::Async {
        let asked = format!("{:?}", sync.wanted).to_lowercase();
        return sync.wanted.is_synchronous().then(|| {
            format!("`{asked}` was asked for and does not hold yet: its set of standbys has not formed")
        });
    }
    if !sync.degraded {
        return None;
    }
    let since = since.map(|at| format!("since {at} ")).unwrap_or_default();
    let silent: Vec<_> = sync.silent.iter().map(|server| format!("`{server}`")).collect();
    let why = if silent.is_empty() {
        format!("no set that keeps a commit on {} other servers has formed yet", sync.number)
    } else {
        format!("silent: {}", silent.join(", "))
    };
    let commits = match sync.durability {
        record::Durability::Strict => "no client is let in",
        record::Durability::Sync | record::Durability::Async => "a commit is on the primary only",
    };
    Some(format!("{since}{commits} ({why}), and no server may take over by itself"))
}

/// Why no server takes over by itself in this topology.
pub(super) fn manual_failover(record: &ClusterRecord) -> Option<String> {
    match record.automatic {
        Automatic::Allowed => None,
        Automatic::Refused(reason) => Some(reason.to_string()),
    }
}

fn verdict(record: &ClusterRecord, servers: &[ServerStatus], store: &StoreStatus) -> Verdict {
    let critical = |sentence: String| Verdict { level: Level::Critical, sentence };
    let Some(lease) = &record.lease else {
        return critical("the cluster has no database yet".to_owned());
    };
    let on_promises = servers.iter().any(|s| s.failsafe == Some(FailsafePart::Holds));
    if takes_no_writes(store) && !on_promises {
        return critical(
            "this server hears no majority of the store: nobody may write on its side".to_owned(),
        );
    }
    let primary = servers.iter().find(|s| s.role == Role::Primary);
    let Some(primary) = primary.filter(|s| record.holder().is_some_and(|h| h.as_str() == s.name)) else {
        let wait = match (record.automatic, manual::stalemate(record)) {
            (Automatic::Refused(_), _) => "; a person must name the next one".to_owned(),
            (Automatic::Allowed, Some(why)) => format!("; nobody takes over by itself: {why}"),
            (Automatic::Allowed, None) => String::new(),
        };
        let last = format!("term {}, last `{}`", lease.term, lease.holder);
        return critical(format!("no server is primary ({last}){wait}"));
    };
    let others = servers.iter().filter(|s| s.name != primary.name && s.promotable != Some(false));
    let (all, streaming) = others.fold((0, 0), |(all, streaming), s| {
        (all + 1, streaming + usize::from(s.role == Role::Standby && s.upstream.is_some()))
    });
    let mut sentence =
        format!("`{}` is primary (term {}); {streaming} of {all} standbys stream", primary.name, lease.term);
    if record.pause.is_some() {
        sentence.push_str("; automatic failover is paused");
    }
    let degraded = degraded(record, None).is_some();
    if degraded {
        sentence.push_str("; commits wait for no other server");
    }
    if on_promises {
        sentence.push_str("; FAILSAFE: it goes on without the store");
    }
    let whole = streaming == all && record.pause.is_none() && !degraded && !on_promises;
    Verdict { level: if whole { Level::Ok } else { Level::Degraded }, sentence }
}

/// Whether the store cannot take a write now, as far as this server knows. Only Raft has a leader that is told here.
pub(super) fn takes_no_writes(store: &StoreStatus) -> bool {
    store.majority == Some(false) || (store.leader.is_none() && store.kind == StoreKind::Raft)
}
