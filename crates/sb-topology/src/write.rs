//! Replaces files whole or not at all.

use std::io;
use std::path::Path;

/// Replaces `path` with `bytes`: a temporary file beside it, fsync, rename, fsync of the directory. After a
/// crash at any point the file is the old or the new one. `mode` is the new file's Unix mode.
///
/// # Errors
/// What the file system says; the old file is then untouched.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _ = (path, bytes, mode);
    todo!()
}
