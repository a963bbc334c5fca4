//! The rules as text for [`crate::nft`]; each text is one transaction.

/// The table of the fence, family `inet`.
pub(super) const TABLE: &str = "sb_fence";
/// The set of ports whose packets may pass.
pub(super) const SET: &str = "lease";
const PROBE_TABLE: &str = "sb_fence_probe";

/// What becomes of a packet that may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is reset on this side: what PostgreSQL wanted to say is thrown away. A packet that is only
    /// dropped stays in its socket, also when the backend is killed, and would be sent again when the fence opens
    /// for the standby that this server becomes: an acknowledgement after the next primary's first.
    Reset,
    /// For kernels without `nft_reject_inet`.
    Drop,
}

impl Verdict {
    const fn statement(self) -> &'static str {
        match self {
            Verdict::Reset => "reject with tcp reset",
            Verdict::Drop => "drop",
        }
    }
}

/// The chain is made anew and the set is kept, with what it still grants.
pub(super) fn for_primary(port: u16, verdict: Verdict) -> String {
    rules(TABLE, port, verdict)
}

/// An empty chain lets everything pass.
pub(super) fn for_standby() -> String {
    format!("{}flush set inet {TABLE} {SET}\n", frame(TABLE))
}

/// Adding first makes deleting succeed in any case.
pub(super) fn none() -> String {
    format!("add table inet {TABLE}\ndelete table inet {TABLE}\n")
}

/// The same rules in another table, which does not outlive the transaction.
pub(super) fn probe(verdict: Verdict) -> String {
    format!("{}delete table inet {PROBE_TABLE}\n", rules(PROBE_TABLE, 1, verdict))
}

/// A reset carries no data, and tells a client at once that its session is gone.
fn rules(table: &str, port: u16, verdict: Verdict) -> String {
    format!(
        "{}add rule inet {table} output oifname \"lo\" accept\n\
         add rule inet {table} output tcp sport {port} tcp flags rst accept\n\
         add rule inet {table} output tcp sport {port} tcp sport != @{SET} {}\n",
        frame(table),
        verdict.statement()
    )
}

fn frame(table: &str) -> String {
    format!(
        "add table inet {table}\n\
         add set inet {table} {SET} {{ type inet_service; flags timeout; }}\n\
         add chain inet {table} output {{ type filter hook output priority filter; policy accept; }}\n\
         flush chain inet {table} output\n"
    )
}
