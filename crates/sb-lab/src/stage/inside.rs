//! The lab's side: its mounts, its files, and the leash that ends it.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use tokio::sync::watch;

use super::{STAGE_VARIABLE, StageError, birth};

/// Directories that every Debian has and hardly anybody needs; the lab's files are mounted over one of them,
/// visible to the lab alone. Short, because the path of a Unix socket has at most 107 bytes.
const MOUNT_POINTS: [&str; 4] = ["/srv", "/mnt", "/media", "/opt"];

/// The descriptors that the launcher has handed down, as the variable names them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) leash: Option<RawFd>,
    pub(super) control: Option<RawFd>,
    pub(super) disk: Option<RawFd>,
}

impl Given {
    pub(super) fn to_text(self) -> String {
        let part = |name: &str, fd: Option<RawFd>| fd.map(|fd| format!("{name}={fd}"));
        let parts = [part("leash", self.leash), part("control", self.control), part("disk", self.disk)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(",")
    }

    fn parse(text: &str) -> Self {
        let number = |name: &str| {
            text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        Self { leash: number("leash"), control: number("control"), disk: number("disk") }
    }
}

pub(super) fn given_descriptors() -> Option<Given> {
    std::env::var(STAGE_VARIABLE).ok().map(|text| Given::parse(&text))
}

/// The lab, in namespaces of its own.
#[derive(Debug)]
pub struct Inside {
    given: Given,
}

impl Inside {
    pub(super) fn new(given: Given) -> Self {
        Self { given }
    }

    /// Listens for the end of the launcher. Call it once.
    #[must_use]
    pub fn interrupt(&self) -> Interrupt {
        let (pull, pulled) = watch::channel(false);
        if let Some(leash) = self.given.leash {
            let mut leash = fs::File::from(birth::adopt(leash));
            std::thread::spawn(move || {
                // The launcher never writes: this returns when its end is closed.
                let _ = leash.read(&mut [0]);
                let _ = pull.send(true);
            });
            Interrupt { pulled, _never: None }
        } else {
            Interrupt { pulled, _never: Some(pull) }
        }
    }

    /// The listening control socket, for a lab that runs in the background. Call it once.
    #[must_use]
    pub fn control(&self) -> Option<OwnedFd> {
        self.given.control.map(birth::adopt)
    }

    /// Lets go of the terminal or pipe of the command that started the lab, which would otherwise wait for the lab's
    /// end; what the lab itself prints goes to a file from here on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn go_to_background(&self, log: &Path) -> io::Result<()> {
        let log = fs::File::create(log)?;
        nix::unistd::dup2_stdin(fs::File::open("/dev/null")?)?;
        nix::unistd::dup2_stdout(&log)?;
        nix::unistd::dup2_stderr(&log)?;
        Ok(())
    }

    /// Makes `/proc` show the lab's processes and mounts the lab's files: a file system in memory, or the directory
    /// that the launcher has made. Returns where. Nobody outside sees these mounts.
    ///
    /// # Errors
    /// When the system refuses a mount, as some containers do.
    pub fn mount(&self) -> Result<PathBuf, StageError> {
        let failed = |step: &'static str| {
            move |errno: nix::errno::Errno| StageError::Setup { step, source: errno.into() }
        };
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(failed("unshare mounts"))?;
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).map_err(failed("mount /proc"))?;
        let root = mount_point()?;
        match self.given.disk {
            None => mount(Some("sb-lab"), &root, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")),
            Some(disk) => {
                // Held, and with it the lock, until the lab ends.
                let disk = std::mem::ManuallyDrop::new(birth::adopt(disk));
                let path = format!("/proc/self/fd/{}", disk.as_raw_fd());
                mount(Some(path.as_str()), &root, none, MsFlags::MS_BIND, none)
            }
        }
        .map_err(failed("mount the lab's files"))?;
        Ok(root)
    }
}

/// Waits for the end of the launcher.
#[derive(Debug, Clone)]
pub struct Interrupt {
    pulled: watch::Receiver<bool>,
    /// Keeps the channel open for a lab without a launcher.
    _never: Option<watch::Sender<bool>>,
}

impl Interrupt {
    /// Returns when the launcher was interrupted or has ended.
    pub async fn pulled(&mut self) {
        // An error means that the thread is gone, which it never is before it has sent.
        let _ = self.pulled.wait_for(|pulled| *pulled).await;
    }
}

fn mount_point() -> Result<PathBuf, StageError> {
    let in_use: Vec<PathBuf> =
        [std::env::current_exe(), std::env::current_dir()].into_iter().filter_map(io::Result::ok).collect();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let free = |point: &Path| {
        point.is_dir() && !in_use.iter().chain(home.iter()).any(|path| path.starts_with(point))
    };
    MOUNT_POINTS
        .iter()
        .map(PathBuf::from)
        .find(|point| free(point))
        .ok_or_else(|| StageError::NoMountPoint { tried: MOUNT_POINTS.iter().map(PathBuf::from).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_read_as_they_were_written() {
        for given in [
            Given::default(),
            Given { leash: Some(5), ..Given::default() },
            Given { control: Some(7), ..Given::default() },
            Given { leash: Some(5), control: Some(7), disk: Some(9) },
        ] {
            assert_eq!(Given::parse(&given.to_text()), given);
        }
    }
}
