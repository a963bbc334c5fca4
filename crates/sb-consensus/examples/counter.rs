//! A replicated counter: three members in one process, over loopback. One of them is lost on the way.
//!
//! `cargo run -p sb-consensus --example counter`
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

#[path = "../tests/support/tcp.rs"]
mod tcp;

use std::time::Duration;

use sb_consensus::{RestoreError, StateMachine};
use tcp::{Node, Start};

const WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Counter(u64);

impl StateMachine for Counter {
    type Request = u64;
    type Outcome = u64;
    type View = u64;

    fn apply(&mut self, add: &u64) -> u64 {
        self.0 = self.0.wrapping_add(*add);
        self.0
    }

    fn view(&self) -> u64 {
        self.0
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.0 = u64::from_le_bytes(bytes.try_into().map_err(RestoreError::new)?);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let a = Node::<Counter>::start(&dir.path().join("a"), "a", Start::Bootstrap).await?;
    let b = Node::<Counter>::start(&dir.path().join("b"), "b", Start::Open).await?;
    let c = Node::<Counter>::start(&dir.path().join("c"), "c", Start::Open).await?;
    for joiner in [&b, &c] {
        a.store.add_learner(joiner.store.member().clone(), WITHIN).await?;
        a.store.promote(joiner.store.member().id, WITHIN).await?;
        println!("{} is a voter", joiner.store.member().name);
    }
    println!("a adds 40: {}", a.store.propose(40, WITHIN).await?);
    println!("b adds 2: {}", b.store.propose(2, WITHIN).await?);
    println!("a dies");
    a.kill().await;
    println!("c adds 100: {}", c.store.propose(100, WITHIN).await?);
    println!("b reads: {}", b.store.read(WITHIN).await?);
    b.shutdown().await;
    c.shutdown().await;
    Ok(())
}
