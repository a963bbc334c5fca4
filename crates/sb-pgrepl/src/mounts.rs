//! What a rename can reach: a data directory is put in place and parked by renames, which end where a mount ends.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::{FileError, Instance};

/// A mount: its number where the kernel tells it (Linux 5.8), and the device.
type Mount = (Option<u64>, u32, u32);

impl Instance {
    /// Whether the data directory is there, but cannot be renamed: it is a mount point, or a link to another disk.
    pub(crate) fn data_is_mounted(&self) -> Result<bool, FileError> {
        let data = self.data_dir();
        Ok(data.exists() && mount_of(data)? != mount_of(parent(data))?)
    }
}

/// Whether a rename gets from the directory of `from` to a directory `to`, which may not be there yet.
pub(crate) fn rename_reaches(from: &Path, to: &Path) -> Result<bool, FileError> {
    let nearest = |path: &Path| path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/")).to_owned();
    Ok(mount_of(&nearest(parent(from)))? == mount_of(&nearest(to))?)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn mount_of(path: &Path) -> Result<Mount, FileError> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    let found = statx(CWD, path, AtFlags::empty(), wanted)
        .map_err(|error| FileError::on("look at", path)(error.into()))?;
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    Ok((told.then_some(found.stx_mnt_id), found.stx_dev_major, found.stx_dev_minor))
}
