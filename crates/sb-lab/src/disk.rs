//! A small disk of a server's own, which can be made full.
//!
//! It is a file system in memory that only the lab's mount namespace knows. To fill it, its size is lowered to what is
//! in use: nothing more fits, as on a real full disk, and no memory is spent on ballast.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::statvfs;

/// Size of a server's disk: a database with its log, and a former data directory beside it.
pub const DISK_BYTES: u64 = 3 << 30;

/// What stays free on a full disk: less than a page of PostgreSQL.
const LEFT_BYTES: u64 = 4 << 10;

/// A mounted disk. It vanishes with the lab's namespaces, or with [`Disk::remove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Puts a disk under a directory, which keeps its mode and its files.
    ///
    /// # Errors
    /// When the system refuses the mount, or a file cannot be copied.
    pub fn put_under(path: &Path) -> io::Result<Self> {
        let former = path.with_extension("before-disk");
        fs::rename(path, &former)?;
        fs::create_dir(path)?;
        let mode = fs::metadata(&former)?.mode() & 0o7777;
        let options = format!("size={DISK_BYTES},mode={mode:o}");
        mount(Some("sb-lab-disk"), path, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))?;
        copy_tree(&former, path)?;
        fs::remove_dir_all(&former)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Leaves no room on it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fill(&self) -> io::Result<()> {
        let state = statvfs(&self.path)?;
        let used = (state.blocks() - state.blocks_free()) * state.fragment_size();
        self.resize(used + LEFT_BYTES)
    }

    /// Gives it its room back.
    ///
    /// # Errors
    /// As [`Disk::fill`].
    pub fn free(&self) -> io::Result<()> {
        self.resize(DISK_BYTES)
    }

    /// Takes it away, with what is on it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self) -> io::Result<()> {
        Ok(umount2(&self.path, MntFlags::MNT_DETACH)?)
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        let none: Option<&str> = None;
        let options = format!("size={bytes}");
        Ok(mount(none, &self.path, none, MsFlags::MS_REMOUNT, Some(options.as_str()))?)
    }
}

/// Files and directories with their modes; a bundle has nothing else.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
            let mode = entry.metadata()?.mode() & 0o7777;
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
