use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sb_topology::ServerName;

use super::path_size::Passes;
use super::window::ClockOffset;

/// What the probes tell of every other server.
pub(in crate::mesh) type Findings = BTreeMap<ServerName, Finding>;

/// What the probes tell of one server: over the way that packets take, directly or carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) struct Finding {
    /// Its mesh address.
    pub(in crate::mesh) to: IpAddr,
    /// The middle round trip of the last minute's.
    pub(in crate::mesh) round_trip: Option<Duration>,
    /// The newest.
    pub(in crate::mesh) last_round_trip: Option<Duration>,
    /// How many of a hundred of the last minute's small probes were lost, there or back.
    pub(in crate::mesh) loss_percent: Option<u8>,
    /// Bytes of the largest packet, where the path takes less than the interface.
    pub(in crate::mesh) narrowed: Option<u16>,
    /// Bytes of the largest packet that is used.
    pub(in crate::mesh) size: u16,
    /// Whether such packets come through both ways.
    pub(in crate::mesh) passes: Option<Passes>,
    /// Its wall clock.
    pub(in crate::mesh) clock: Option<ClockOffset>,
}

impl Finding {
    /// Whether packets of the size in use come through both ways; [`None`] while that is not known.
    pub(in crate::mesh) fn passes_both_ways(&self) -> Option<bool> {
        self.passes.map(|passes| passes == Passes::Both)
    }

    /// Whether packets as large as the interface's come through both ways; [`None`] while that is not known.
    pub(in crate::mesh) fn full_size(&self) -> Option<bool> {
        Some(self.passes_both_ways()? && self.narrowed.is_none())
    }
}
