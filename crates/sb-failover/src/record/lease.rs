use sb_pgtypes::Position;
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::{Incarnation, RenewalNumber, Seq, Term};

/// The right of one server to be writable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose it is.
    pub holder: ServerName,
    /// Under which incarnation it was taken.
    pub incarnation: Incarnation,
    /// The primaryship.
    pub term: Term,
    /// How often it was renewed in this term.
    pub seq: Seq,
    /// How long each renewal holds, said by the last one.
    pub ttl_ms: u64,
    /// The number of the last renewal, takeover or release that counted.
    pub renewal: RenewalNumber,
    /// Set when the holder gave it back, having proved that none of its backends is left.
    pub released: Option<Released>,
}

/// How a lease was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The end of the holder's log, when it shut down cleanly (R11).
    pub end: Option<Position>,
    /// The server that shall go first.
    pub to: Option<ServerName>,
}

/// A standby's promise to take nothing more from the primary of (term, seq), and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The lease's term.
    pub term: Term,
    /// The lease's seq.
    pub seq: Seq,
    /// The position that no longer moves.
    pub position: Position,
}

/// Why the primary changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandoverReason {
    /// The cluster was made.
    Initialized,
    /// The lease ran out.
    Expired,
    /// The holder gave it up.
    Released,
    /// A person asked for it; nothing was lost.
    Switchover,
    /// A person asked for it and accepted a loss.
    Failover,
}

/// One change of term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// The new term.
    pub term: Term,
    /// Who held the lease before.
    pub from: Option<ServerName>,
    /// Who holds it now.
    pub to: ServerName,
    /// Why.
    pub reason: HandoverReason,
    /// Where the new primary's log ended when it took over.
    pub position: Option<Position>,
}
