//! A network namespace with a TUN device that leads to the router.

use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::wan::MTU_BYTES;

/// The device through which a server sees the wide-area network.
pub const DEVICE: &str = "wan0";

/// `IFF_UP` of `<net/if.h>`, as wide as `ifreq` has it.
const IFF_UP: libc::c_short = 1;

/// Every address of the lab that begins alike is behind the device: 10.0.0.0/16, or 203.0.0.0/16 when the mesh is on.
const PREFIX_BITS: u8 = 16;

/// A network namespace; it lives as long as this value or a process inside it.
#[derive(Debug)]
pub struct NetworkNamespace {
    file: File,
    inode: u64,
}

impl NetworkNamespace {
    /// Makes a namespace with loopback and [`DEVICE`] at this address, and the device's other end.
    ///
    /// # Errors
    /// When the system refuses a namespace or a TUN device.
    pub fn create(address: Ipv4Addr) -> io::Result<(Self, SyncDevice)> {
        // A thread of its own: the caller stays in its namespace.
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let file = File::open("/proc/thread-self/ns/net")?;
            raise_loopback()?;
            let device = DeviceBuilder::new()
                .name(DEVICE)
                .mtu(MTU_BYTES)
                .ipv4(address, PREFIX_BITS, None)
                .build_sync()?;
            let inode = file.metadata()?.ino();
            Ok((Self { file, inode }, device))
        })
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that makes a namespace panicked")))
    }

    /// Moves the calling thread into it. Threads started from there are inside too.
    ///
    /// # Errors
    /// When the caller lacks the capability SYS_ADMIN.
    pub fn enter(&self) -> io::Result<()> {
        enter(self.file.as_fd())
    }

    /// Runs work on a thread inside, with a runtime of its own.
    ///
    /// # Errors
    /// When the thread cannot be made or moved, or the work panics.
    pub async fn run_async<T, W>(&self, work: impl FnOnce() -> W + Send + 'static) -> io::Result<T>
    where
        T: Send + 'static,
        W: Future<Output = T>,
    {
        let namespace = self.handle()?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("lab-client".into()).spawn(move || {
            let run = || {
                enter(namespace.as_fd())?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(work()))
            };
            // Nobody listens any more when the lab is ending.
            let _ = answer.send(run());
        })?;
        answered.await.unwrap_or_else(|_| Err(io::Error::other("the work in the namespace panicked")))
    }

    /// A handle for a process that is about to be started; see [`enter`].
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Its descriptor in this process, open as long as this value.
    #[must_use]
    pub fn as_raw_fd(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// What names it: the number that `/proc/PID/ns/net` shows.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

/// Moves the calling thread into the namespace behind a handle. Only a system call: fit for a child between fork
/// and exec.
///
/// # Errors
/// When the caller lacks the capability SYS_ADMIN.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

fn raise_loopback() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: all zeros is a valid `ifreq`, and the name keeps its end.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = IFF_UP;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
