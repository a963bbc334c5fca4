//! A brake on a server's disk: every `fsync` and `fdatasync` of its programs waits as long as it is told.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of `<linux/seccomp.h>`, for structures of 80 and 24 bytes.
const NOTIF_RECV: libc::c_ulong = 0xc050_2100;
const NOTIF_SEND: libc::c_ulong = 0xc018_2101;

/// How much longer every sync takes, for all programs of a server.
#[derive(Debug, Clone, Default)]
pub struct Brake {
    delay_ms: Arc<AtomicU32>,
}

impl Brake {
    /// Lets every sync from here on take so much longer.
    pub fn set(&self, delay_ms: u32) {
        self.delay_ms.store(delay_ms, Ordering::Relaxed);
    }

    /// Serves the calls that a listener tells of, on a thread of its own, until the last process behind it has ended.
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn serve(&self, listener: OwnedFd) -> io::Result<()> {
        let delay_ms = Arc::clone(&self.delay_ms);
        std::thread::Builder::new().name("lab-brake".into()).spawn(move || {
            if let Err(error) = let_pass(&listener, &delay_ms) {
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

fn let_pass(listener: &OwnedFd, delay_ms: &AtomicU32) -> io::Result<()> {
    let mut waiting: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    loop {
        let wait = waiting.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        // One millisecond more than the rest: rounded down it would spin.
        let timeout = wait.map_or(PollTimeout::NONE, |wait| {
            u16::try_from(wait.as_millis() + 1).map_or(PollTimeout::MAX, PollTimeout::from)
        });
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        if events.contains(PollFlags::POLLIN)
            && let Some(id) = receive(listener)
        {
            let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed).into());
            waiting.push(Reverse((Instant::now() + delay, id)));
        } else if events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return Ok(());
        }
        let now = Instant::now();
        while let Some(Reverse((due, id))) = waiting.peek().copied()
            && due <= now
        {
            waiting.pop();
            go_on(listener, id);
        }
    }
}

/// The number of the next call; nothing when its process has died meanwhile.
fn receive(listener: &OwnedFd) -> Option<u64> {
    // SAFETY: all zeros is a valid notification, and the kernel wants them.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills one notification, which outlives the call.
    let got = unsafe { libc::ioctl(listener.as_raw_fd(), NOTIF_RECV as _, &raw mut notification) };
    (got == 0).then_some(notification.id)
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
