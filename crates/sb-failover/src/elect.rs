use sb_topology::ServerName;

use crate::ClusterRecord;

/// One candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Which server.
    pub server: ServerName,
    /// From whom it must fetch before it may take over; [`None`] when it has everything.
    pub fetch_from: Option<ServerName>,
}

/// What the reports say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Election {
    /// These may take over, the preferred one first.
    Decided(Vec<Ranked>),
}

/// Who shall take over, from the record alone.
#[must_use]
pub fn elect(record: &ClusterRecord) -> Election {
    let _ = record;
    Election::Decided(Vec::new())
}
