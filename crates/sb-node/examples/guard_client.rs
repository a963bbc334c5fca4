//! The least an agent does: `guard_client RUN_DIR TERM` keeps a deadline half a second ahead, for as long as it runs.

use std::path::Path;
use std::time::Duration;

use sb_node::guard::{BootNanos, ConnectLimits, GuardClient, Term, socket_path};

const AHEAD: Duration = Duration::from_millis(500);
const RENEW_EVERY: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [run_dir, term] = arguments.as_slice() else { anyhow::bail!("usage: guard_client RUN_DIR TERM") };
    let term = Term::from(term.parse::<u64>()?);
    let (guard, _events) =
        GuardClient::connect(&socket_path(Path::new(run_dir)), ConnectLimits::default()).await?;
    loop {
        guard.arm(term, BootNanos::now().plus(AHEAD), AHEAD).await?;
        tokio::time::sleep(RENEW_EVERY).await;
    }
}
