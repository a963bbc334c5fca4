//! The secrets that this server shares with others: what `sb_wireguard::preshared` decides, carried out.
//!
//! ```text
//!  a person ──► Order::Begin ─┐                                    ┌─► interface, at the next look
//!  the maker's word ──────────┼─► keeper ──► file (0600), first ───┤
//!  the taker's answer ────────┘                                    └─► word to the taker, until it is answered
//! ```
//!
//! The secrets are in one file beside the server's key, so that they live as long as it does. The file is replaced as a whole
//! with each change of one pair, before anything is done by it: a crash leaves the pair before the change or after it,
//! and what either means is the same as for a word that is late.
//!
//! A secret goes to one other server, in a call whose both ends are proven by certificates, and is nowhere else: not in the
//! store's record, not in what the servers agree on, not in the journal.

mod file;
mod keeper;
mod line;
mod told;

#[cfg(test)]
mod tests;

pub(super) use file::{PairFile, PairFileError};
pub(super) use keeper::{Callers, PresharedKeeper, SeenLine, Settled, callers};
pub(crate) use line::{PresharedError, PresharedLine};
pub(crate) use told::{to_answer, to_word};
