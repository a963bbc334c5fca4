//! Compares an old primary with the new one, and prints what the old one needs to follow it.
//!
//! ```sh
//! cargo run -p sb-pgtypes --example after_failover
//! ```
#![allow(clippy::print_stdout, reason = "an example is a program")]

use std::error::Error;

use sb_pgtypes::{Conninfo, Lineage, Position, SlotName, TimelineId};

/// As in `pg_wal/00000002.history` of the new primary.
const HISTORY: &str = "1\t0/5A000060\tno recovery target specified\n";

fn main() -> Result<(), Box<dyn Error>> {
    let new = Lineage::parse_history(TimelineId::try_from(2)?, HISTORY)?;
    let new_primary = Position { lineage: new, flushed: "0/5B000000".parse()? };
    let old_primary = Position { lineage: Lineage::first(), flushed: "0/5D0000C8".parse()? };

    println!("the old primary is {:?}", old_primary.relation(&new_primary));
    if let Some(fork) = old_primary.lineage.shared_until(&new_primary.lineage) {
        let lost = old_primary.flushed.bytes_ahead_of(fork);
        println!("it has {lost} bytes beyond {fork} that the new primary lacks");
    }

    let upstream = Conninfo::new().with("host", "10.0.2.1")?.with("user", "replicator")?;
    let upstream = upstream.with("application_name", "ravena-1")?.with("password", "it's secret")?;
    println!("upstream {upstream:?}, slot {}", SlotName::for_server("ravena-1")?);
    Ok(())
}
