//! A brake on a server's disk: every `fsync` and `fdatasync` of its programs waits as long as it is told, or only those
//! of the store's files, as when the store has a disk of its own and that one hangs.
//!
//! The kernel asks the lab before it carries such a call out (seccomp's user notification, seccomp_unotify(2)). Nothing
//! has to be loaded into the programs, so it holds for whatever they start, with whatever environment. A waiting
//! process can still be killed, which one that waits for a real disk cannot; and on a real disk the time passes inside
//! the file system and not before it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of `<linux/seccomp.h>`, for structures of 80 and 24 bytes.
const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;

/// Longest time after which a brake that was let go lets go what it holds, in milliseconds.
const LET_GO_MS_MAX: u16 = 100;

/// How much longer syncs take, for all programs of a server.
#[derive(Debug, Clone)]
pub struct Brake {
    store: Arc<Path>,
    pull: Arc<Mutex<Pull>>,
}

/// How hard it is pulled.
#[derive(Debug, Clone, Default)]
struct Pull {
    delay: Duration,
    /// What lies on another disk.
    spared: Option<PathBuf>,
    store_hangs_until: Option<Instant>,
}

/// A sync that a program has begun.
#[derive(Debug, Clone, Copy)]
struct Sync {
    id: u64,
    thread: u32,
    descriptor: u64,
}

impl Sync {
    fn is_below(self, path: &Path) -> bool {
        let link = format!("/proc/{}/fd/{}", self.thread, self.descriptor);
        std::fs::read_link(link).is_ok_and(|file| file.starts_with(path))
    }
}

impl Brake {
    /// A brake that is not pulled, of a server whose store is in this directory.
    #[must_use]
    pub fn new(store: PathBuf) -> Self {
        Self { store: store.into(), pull: Arc::default() }
    }

    /// Lets every sync from here on take so much longer. With 0 also those that wait go on.
    pub fn set(&self, delay_ms: u32) {
        self.pull().delay = Duration::from_millis(delay_ms.into());
    }

    /// Spares the files below this path, as if they were on another disk.
    pub fn spare(&self, path: PathBuf) {
        self.pull().spared = Some(path);
    }

    /// Lets no sync of the store's files end before so much time has passed. Those under way are not held.
    pub fn hang_store(&self, time: Duration) {
        self.pull().store_hangs_until = Some(Instant::now() + time);
    }

    /// When a sync that begins now may be carried out.
    fn due(&self, sync: Sync) -> Instant {
        let (now, Pull { delay, spared, store_hangs_until }) = (Instant::now(), self.pull().clone());
        let hangs = store_hangs_until.filter(|until| *until > now && sync.is_below(&self.store));
        let delay = if spared.is_some_and(|path| sync.is_below(&path)) { Duration::ZERO } else { delay };
        hangs.map_or(now + delay, |until| until.max(now + delay))
    }

    /// Whether nothing that waits has to wait any longer.
    fn is_let_go(&self) -> bool {
        let pull = self.pull();
        pull.delay.is_zero() && pull.store_hangs_until.is_none_or(|until| until <= Instant::now())
    }

    fn pull(&self) -> std::sync::MutexGuard<'_, Pull> {
        self.pull.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the calls that a listener tells of, on a thread of its own, until the last process behind it has ended.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn serve(&self, listener: OwnedFd) -> io::Result<()> {
        let brake = self.clone();
        std::thread::Builder::new().name("lab-brake".into()).spawn(move || {
            if let Err(error) = let_pass(&listener, &brake) {
                tracing::error!(%error, "a server's disk is not braked any more; its programs cannot sync");
            }
        })?;
        Ok(())
    }
}

/// Where a child leaves its listener between fork and exec.
#[derive(Debug)]
pub struct Handover {
    lab: UnixDatagram,
    child: UnixDatagram,
    filter: Vec<libc::sock_filter>,
}

impl Handover {
    /// Makes it, before the fork.
    ///
    /// # Errors
    /// When no descriptors are left.
    pub fn new() -> io::Result<Self> {
        let (lab, child) = UnixDatagram::pair()?;
        Ok(Self { lab, child, filter: filter() })
    }

    /// Puts the calling process and all that it starts under the brake. Only system calls: fit for a child between
    /// fork and exec.
    ///
    /// # Errors
    /// When the kernel has no such filters, or refuses them.
    pub fn brake_this_process(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.filter.len()).unwrap_or(u16::MAX),
            filter: self.filter.as_ptr().cast_mut(),
        };
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // SAFETY: the program outlives the call, which only reads it.
        let listener = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
        };
        match RawFd::try_from(listener) {
            Ok(listener) if listener >= 0 => send_descriptor(self.child.as_raw_fd(), listener),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Takes the listener, after the child has run.
    ///
    /// # Errors
    /// When the child has left none.
    pub fn listener(&self) -> io::Result<OwnedFd> {
        self.lab.set_nonblocking(true)?;
        receive_descriptor(self.lab.as_raw_fd())
    }
}

/// Asks for `fsync` and `fdatasync`, lets all else pass. Programs of another word length would pass: there are none.
fn filter() -> Vec<libc::sock_filter> {
    let (load, equal, answer) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET,
    );
    let line = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    vec![
        // The number of the call is the first word of `struct seccomp_data`.
        line(load, 0, 0, 0),
        line(equal, 2, 0, number(libc::SYS_fsync)),
        line(equal, 1, 0, number(libc::SYS_fdatasync)),
        line(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
        line(answer, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
    ]
}

fn let_pass(listener: &OwnedFd, brake: &Brake) -> io::Result<()> {
    let mut waiting: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    loop {
        let wait = waiting.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        // One millisecond more than the rest: rounded down it would spin.
        let timeout = wait.map_or(PollTimeout::NONE, |wait| {
            PollTimeout::from(u16::try_from(wait.as_millis() + 1).unwrap_or(LET_GO_MS_MAX).min(LET_GO_MS_MAX))
        });
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN)
            && let Some(sync) = receive(listener)
        {
            waiting.push(Reverse((brake.due(sync), sync.id)));
        } else if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Ok(());
        }
        let now = Instant::now();
        while let Some(Reverse((due, id))) = waiting.peek().copied()
            && (due <= now || brake.is_let_go())
        {
            waiting.pop();
            go_on(listener, id);
        }
    }
}

/// The next call; nothing when its process has died meanwhile.
fn receive(listener: &OwnedFd) -> Option<Sync> {
    // SAFETY: all zeros is a valid notification, and the kernel wants them.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills one notification, which outlives the call.
    let got = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV as _, &raw mut notification) };
    let (id, thread, descriptor) = (notification.id, notification.pid, notification.data.args[0]);
    (got == 0).then_some(Sync { id, thread, descriptor })
}

/// Lets a call be carried out. Its process may have died, which does not matter.
fn go_on(listener: &OwnedFd, id: u64) {
    let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1);
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags };
    // SAFETY: the kernel reads one answer, which outlives the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_SEND as _, &raw mut answer) };
}

/// Room for one descriptor in a control message, aligned as its header.
#[repr(C, align(8))]
struct Control([u8; 24]);

fn send_descriptor(socket: RawFd, descriptor: RawFd) -> io::Result<()> {
    let mut control = Control([0; 24]);
    let mut byte = [0u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let message = message(&mut part, &mut control);
    // SAFETY: the control buffer has room for one header and one descriptor (24 bytes, CMSG_SPACE(4)).
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as _;
        std::ptr::copy_nonoverlapping((&raw const descriptor).cast(), libc::CMSG_DATA(header), 4);
        if libc::sendmsg(socket, &raw const message, 0) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn receive_descriptor(socket: RawFd) -> io::Result<OwnedFd> {
    let mut control = Control([0; 24]);
    let mut byte = [0u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut message = message(&mut part, &mut control);
    // SAFETY: the message's buffers outlive the call; a header with SCM_RIGHTS carries one descriptor, which is ours.
    unsafe {
        if libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut descriptor: RawFd = -1;
        std::ptr::copy_nonoverlapping(libc::CMSG_DATA(header), (&raw mut descriptor).cast(), 4);
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: all zeros is a valid `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    message
}
