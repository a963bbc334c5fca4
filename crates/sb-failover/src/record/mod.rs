//! The replicated record: what all servers agree on, and the only way it changes.
//!
//! [`ClusterRecord::apply`] is a function of the record and the request alone: every replica that applied the
//! same log holds the same record. It does not know the time; whoever proposes has waited (L2), and the
//! numbers in the request prove that nothing happened in between (L3).

mod apply;
mod apply_lease;
mod automatic;
mod lease;
mod member;
mod proof;
mod recovery;
mod request;
mod standing;
mod sync;
mod timeline;
mod transfer;

use std::collections::BTreeMap;

use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier};
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

pub use apply_lease::TTL_MS_MAX;
pub use automatic::Automatic;
pub use lease::{Handover, HandoverReason, Lease, Released, Report};
pub use member::Member;
pub use proof::{Proof, missing};
pub use recovery::{Branch, RECOVERY_TERMS, Recovery};
pub use request::{Outcome, Rejection, Request};
pub use standing::Standing;
pub use sync::{Durability, SyncRecord};
pub use timeline::{RECOVERY_TIMELINES, Reservation, TimelineNumbers};
pub use transfer::{PAUSE_MS_MAX, Pause, Transfer, TransferId, TransferKind};

use crate::{Term, Timings};

/// How many changes of term the record remembers.
pub const HISTORY_MAX: usize = 128;
/// How many members a cluster may have.
pub const MEMBERS_MAX: usize = 64;
/// How long a topology document in the record may be.
pub const TOPOLOGY_BYTES_MAX: usize = 256 * 1024;
/// How long a document of the mesh in the record may be.
pub const MESH_BYTES_MAX: usize = 64 * 1024;

/// The lineage of the data: as the primary of `term` told it, or, after a later takeover, that of the server
/// which took over and has not promoted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageInForce {
    /// The last term whose primary has promoted and told.
    pub term: Term,
    /// The lineage.
    pub lineage: Lineage,
    /// Up to where its newest timeline counts: a promotion had left it there, and the server which took over since was not
    /// on that. What an older primary has beyond stays left behind. [`None`] = without end.
    #[serde(default)]
    pub until: Option<Lsn>,
    /// The lineage as the primary of `term` told it; [`None`] only in a record written before this was kept.
    #[serde(default)]
    pub promoted: Option<Lineage>,
}

/// The topology in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopologyRecord {
    /// Rises by one with every change; 0 = none yet.
    pub generation: u64,
    /// The document, as text that this crate does not read.
    pub document: String,
}

/// What the servers agree on about the network between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshRecord {
    /// Rises by one with every change; 0 = none yet.
    pub generation: u64,
    /// The document, as text that this crate does not read.
    pub document: String,
}

/// What all servers agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The data's own number; [`None`] before `Initialize`.
    pub system_identifier: Option<SystemIdentifier>,
    /// Every server that has registered.
    pub members: BTreeMap<ServerName, Member>,
    /// Who may write; [`None`] before `Initialize`.
    pub lease: Option<Lease>,
    /// The lineage in force; [`None`] before `Initialize`. Of an older term than the lease while a new primary
    /// has not promoted yet.
    pub lineage: Option<LineageInForce>,
    /// The holder's position at its last renewal that carried one.
    pub position: Option<Position>,
    /// What a commit waits for, and what an election needs because of it.
    pub sync: SyncRecord,
    /// Frozen positions. Each names the (term, seq) it was promised for; a renewal removes all.
    pub reports: BTreeMap<ServerName, Report>,
    /// No automatic failover while set.
    pub pause: Option<Pause>,
    /// A hand-over that a person asked for.
    pub transfer: Option<Transfer>,
    /// The last [`HISTORY_MAX`] changes of term, oldest first.
    pub history: Vec<Handover>,
    /// The times in force.
    pub timings: Timings,
    /// The most that an automatic asynchronous failover may lose against `position`.
    pub lag_bytes_max: u64,
    /// The topology in force.
    pub topology: TopologyRecord,
    /// How often a server became one that may take over, or came back without what it knew, counted from the first lease
    /// on.
    pub admissions: u64,
    /// Servers that no renewal has known yet, each with its admission: the holder cannot have asked them to
    /// promise anything (R10), so they cannot take over.
    pub strangers: BTreeMap<ServerName, u64>,
    /// Whether a server may take over without a person's word: judged from the topology in force.
    #[serde(default)]
    pub automatic: Automatic,
    /// Which of the stores that this cluster has had this one is.
    #[serde(default)]
    pub branch: Branch,
    /// The numbers of timelines that are used or reserved.
    #[serde(default)]
    pub timelines: TimelineNumbers,
    /// Who carries whose packets, and whose key is being replaced.
    #[serde(default)]
    pub mesh: MeshRecord,
}

/// The default of [`ClusterRecord::lag_bytes_max`]: 1 MiB.
pub const LAG_BYTES_MAX_DEFAULT: u64 = 1024 * 1024;

impl Default for ClusterRecord {
    fn default() -> Self {
        Self {
            system_identifier: None,
            members: BTreeMap::new(),
            lease: None,
            lineage: None,
            position: None,
            sync: SyncRecord::default(),
            reports: BTreeMap::new(),
            pause: None,
            transfer: None,
            history: Vec::new(),
            timings: Timings::default(),
            lag_bytes_max: LAG_BYTES_MAX_DEFAULT,
            topology: TopologyRecord::default(),
            admissions: 0,
            strangers: BTreeMap::new(),
            automatic: Automatic::default(),
            branch: Branch::default(),
            timelines: TimelineNumbers::default(),
            mesh: MeshRecord::default(),
        }
    }
}

impl ClusterRecord {
    /// The server that holds the lease and has not given it back.
    #[must_use]
    pub fn holder(&self) -> Option<&ServerName> {
        self.lease.as_ref().filter(|l| l.released.is_none()).map(|l| &l.holder)
    }

    /// The newest term; 0 before `Initialize`.
    #[must_use]
    pub fn term(&self) -> Term {
        self.lease.as_ref().map_or(Term::default(), |l| l.term)
    }

    /// The reports that are valid for the lease as it is.
    pub fn valid_reports(&self) -> impl Iterator<Item = (&ServerName, &Report)> {
        let name = self.lease.as_ref().map(|l| (l.term, l.seq));
        self.reports.iter().filter(move |(_, r)| Some((r.term, r.seq)) == name)
    }
}
