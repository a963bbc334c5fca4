//! A server's key replaced while packets flow: what `sb_wireguard::rotation` decides, carried out.
//!
//! The owner keeps the new key in a file beside its key file from before anybody hears of it until it takes that
//! file's place by rename, and its state in a line of text in the state directory. Each change of the disk is one step that
//! a crash leaves done or not done, and each is done again or gone on from. What an agent finds when it starts:
//!
//! | key file | file beside it | line | agreement | what it means |
//! |---|---|---|---|---|
//! | old | – | – | no rotation of this server | there is none |
//! | old | new | – | does not name the new key | crash before the line was written: nobody has heard of the new key, it is removed |
//! | old | new | – | has the rotation | the line is lost: announced again |
//! | old | new | – | has the new key as this server's | the line is lost: finished |
//! | old | new | any step | anything | gone on with; what is not agreed yet is proposed again |
//! | new | – | any step | anything | crash after the rename: finished |
//! | new | – | – | has the rotation | the store is an older one: finished again |
//! | old | – | any step | anything | crash in the middle of a withdrawal, or somebody removed the file: withdrawn |
//! | old | – | – | has the rotation | the same, without a line: withdrawn |
//! | another | any | about other keys | anything | somebody has replaced the key file: the line is void |
//!
//! The key in the key file is never thrown away before the agreement names the new one, and the new one never while the
//! agreement or the interface may have it.

mod files;
mod line;
mod nudge;
mod owner;
mod rotator;
mod standing;

#[cfg(test)]
mod tests;

pub(super) use files::{FilesError, RotationFiles, remove_draft, replace_secret};
#[cfg(test)]
pub(super) use line::Order;
pub(crate) use line::{KeyLine, KeyStanding};
pub(super) use nudge::nudge;
pub(super) use owner::OwnRotation;
pub(crate) use owner::RotateError;
pub(super) use rotator::{Interface, Rotator, progress_of};
