//! Rules about the code itself, checked by a program so that nobody has to remember them.
//!
//! * [`layers`]: which crate may depend on which (the drawing in ARCHITECTURE.md as data, compared with what
//!   `cargo metadata` says), and which crates have no means to act.
//! * [`files`]: names and lengths of source files, one example for each library, lints in every package.
//! * [`codes`]: what the programs print as a stable code is explained.
//! * [`documents`]: the form of `docs/adr/`, a paragraph for each crate in ARCHITECTURE.md, links that lead
//!   somewhere.
//! * [`clocks`]: which files read the time of day, for people; nothing that decides does.
//!
//! Each module holds a check (a function from what is there to a list of [`Finding`]s) and tests that
//! show the check noticing what it is for. `tests/this_workspace.rs` applies the checks to this
//! repository.

pub mod clocks;
pub mod codes;
pub mod documents;
pub mod files;
mod finding;
pub mod layers;
pub mod workspace;

pub use finding::Finding;
