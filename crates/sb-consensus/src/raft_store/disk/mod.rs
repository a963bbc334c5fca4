//! The directory of a member: `identity.json`, `snapshot`, `log`, and a lock.

mod file;
mod frame;
mod identity;

pub(crate) use file::FileDisk;
pub use identity::holds_log;
pub(crate) use identity::{Directory, Identity, failed, replace_file};
