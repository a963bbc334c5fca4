//! A guard by hand: `guard RUN_DIR` runs until it is terminated.

use sb_node::guard::{GuardConfig, run};

fn main() -> anyhow::Result<()> {
    let run_dir = std::env::args_os().nth(1).ok_or_else(|| anyhow::anyhow!("usage: guard RUN_DIR"))?;
    run(GuardConfig::new(std::path::PathBuf::from(run_dir)))?;
    Ok(())
}
