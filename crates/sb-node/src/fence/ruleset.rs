//! The rules as text for `nft -f -`; each text is one transaction.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::error::FenceError;

/// The table of the fence, family `inet`.
pub(super) const TABLE: &str = "sb_fence";
/// The set of ports whose packets may pass.
pub(super) const SET: &str = "lease";
const PROBE_TABLE: &str = "sb_fence_probe";
const NFT_SECONDS_MAX: u64 = 5;

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

/// Has `nft` carry out one transaction.
pub(super) async fn load(rules: &str) -> Result<(), FenceError> {
    let run = async {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = nft.stdin.take() {
            input.write_all(rules.as_bytes()).await?;
        }
        nft.wait_with_output().await
    };
    let limit = Duration::from_secs(NFT_SECONDS_MAX);
    let output = tokio::time::timeout(limit, run)
        .await
        .map_err(|_| FenceError::Timeout { limit_s: NFT_SECONDS_MAX })?
        .map_err(FenceError::Program)?;
    if output.status.success() {
        return Ok(());
    }
    // The first line says what; those below it quote the rule.
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().map_or_else(|| output.status.to_string(), str::to_owned);
    Err(FenceError::Rules { said })
}
