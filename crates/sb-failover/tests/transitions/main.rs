//! The rows of the table that need a coincidence: each is brought about by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bench;
mod boot;
mod chosen;
mod collecting;
mod failsafe;
mod guard;
mod journal;
mod judged;
mod lag_bound;
mod manual;
mod primary;
mod promotion;
mod recovery;
mod restart;
mod storage;
mod sync;
mod timelines;
mod witness;
