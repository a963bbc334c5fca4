//! Makes the problem document of a refusal and reads it back, as a tool without our client would.
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use sb_api::{Gate, Problem};

fn main() -> Result<(), serde_json::Error> {
    let refusal = Problem::refused(
        "failover.may_lose_commits",
        "cannot promote `tucson-1`: it may lack commits that clients saw confirmed",
    )
    .detail("Its received position is 0/5A000060; the last confirmed position is 0/5D0000C8 on timeline 7.")
    .hint("Promote `burlington-1`, which has everything: sb-cli failover --to burlington-1")
    .gates(vec![Gate::passed("reachable", "yes", "yes"), Gate::failed("lag", "48 MiB", "1 MiB")]);

    let text = serde_json::to_string_pretty(&refusal)?;
    println!("{text}");

    let read: Problem = serde_json::from_str(&text)?;
    for gate in read.gates.iter().filter(|gate| !gate.ok) {
        println!("not passed: {} is {}, allowed {}", gate.name, gate.observed, gate.limit);
    }
    Ok(())
}
