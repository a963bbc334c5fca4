//! The directory of a member: `identity.json`, `snapshot`, `log`, and a lock.

mod file;
mod frame;
mod identity;
mod recovery;
#[cfg(test)]
mod recovery_tests;

pub(crate) use file::FileDisk;
pub use identity::holds_log;
pub(crate) use identity::{Directory, Identity, IdentityFile, failed, replace_file, sync_directory};
