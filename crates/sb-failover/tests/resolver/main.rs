//! R6, as far as it can be walked: every state of up to six servers, and every order in which the writes of small
//! clusters can succeed, fail or come late.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod convergence;
mod every_state;
mod scene;
mod walk;
