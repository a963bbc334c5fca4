use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

/// "No automatic failover for a while."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Tells one pause from the next.
    pub id: u64,
    /// How long; every server counts from when it saw the pause.
    pub for_ms: u64,
    /// Who asked.
    pub by: String,
    /// What for.
    pub reason: String,
}

/// The longest pause: one day.
pub const PAUSE_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Names a transfer, for its cancellation; chosen by whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransferId(pub u64);

/// What a person asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferKind {
    /// Move the primary; nothing may be lost.
    Switchover,
    /// Make a server primary, also when the primary is gone.
    Failover {
        /// How much of what the primary had may be missing.
        accept_data_loss_bytes: u64,
    },
}

/// A hand-over that a person asked for. It ends with the next change of term or when it is cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its name.
    pub id: TransferId,
    /// The server that shall be primary; [`None`] = the best one.
    pub to: Option<ServerName>,
    /// Of which kind.
    pub kind: TransferKind,
    /// Who asked.
    pub by: String,
}
