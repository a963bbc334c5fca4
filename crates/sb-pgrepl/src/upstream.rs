use std::net::IpAddr;

use sb_topology::ServerName;

use crate::files::write_durably;
use crate::roles::REPLICATOR;
use crate::settings::assignment;
use crate::{FileError, Instance, SlotName};

/// The file that says whom a standby follows; included after `sb.conf`.
pub(crate) const UPSTREAM_CONF: &str = "sb-upstream.conf";

/// How long replay waits for readers on a standby that follows. On a frozen one it does not wait.
const READERS_HOLD_REPLAY: &str = "30s";

/// A server to copy or stream from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, which its TLS certificate must carry as a DNS name.
    pub server: ServerName,
    /// Its address in the mesh.
    pub address: IpAddr,
    /// PostgreSQL's port there.
    pub port: u16,
    /// The slot to use there, which must exist; [`None`] when the upstream keeps none for this server (a standby).
    pub slot: Option<SlotName>,
}

impl Instance {
    /// Writes whom to follow; [`None`] means nobody, and that readers hold up nothing.
    pub(crate) fn write_upstream(&self, upstream: Option<&Upstream>) -> Result<(), FileError> {
        let conninfo =
            upstream.map(|u| self.conninfo(u, REPLICATOR, "replication", self.config().server.as_str()));
        let slot = upstream.and_then(|u| u.slot.as_ref()).map_or("", SlotName::as_str);
        let delay = if upstream.is_some() { READERS_HOLD_REPLAY } else { "0" };
        let lines = [
            assignment("primary_conninfo", conninfo.as_deref().unwrap_or_default()),
            assignment("primary_slot_name", slot),
            assignment("max_standby_streaming_delay", delay),
            assignment("max_standby_archive_delay", delay),
        ];
        let text = lines.join("\n") + "\n";
        write_durably(&self.in_data(UPSTREAM_CONF), text.as_bytes(), 0o600, self.config().run_as)
    }
}
