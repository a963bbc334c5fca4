use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};

use crate::engine::{Outbox, Run};

/// What the kernel keeps for us while we are busy; a lost datagram costs the stream inside a round trip.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Tries to find a port that is free for IPv4 and IPv6.
const PORT_TRIES_MAX: usize = 16;
/// How long a full send buffer is waited for; then the datagram is lost, as on a full line.
const SEND_WAIT_MILLISECONDS: u8 = 10;

/// The UDP sockets of one port. No other program can have the port as well: SO_REUSEADDR is not set.
#[derive(Debug)]
pub(super) struct Sockets {
    v4: Socket,
    /// None where the system has no IPv6.
    v6: Option<Socket>,
    port: u16,
}

#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// The kernel or the card refused to cut a send into datagrams.
    refuses_segments: AtomicBool,
}

impl Sockets {
    /// Opens them; port 0 is any that is free for both families.
    pub(super) fn open(port: u16, mark: u32) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::open_once(port, mark) {
                Err(error) if port == 0 && tries < PORT_TRIES_MAX && is(&error, Errno::EADDRINUSE) => {}
                result => return result,
            }
        }
    }

    fn open_once(port: u16, mark: u32) -> io::Result<Self> {
        let v4 = Socket::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?, mark)?;
        let port = v4.socket.local_addr()?.port();
        let v6 = match bind_v6(port) {
            Ok(socket) => Some(Socket::new(socket, mark)?),
            Err(error) if is(&error, Errno::EAFNOSUPPORT) || is(&error, Errno::EADDRNOTAVAIL) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { v4, v6, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.each().try_for_each(|socket| socket.set_mark(mark))
    }

    /// The sockets that there are.
    pub(super) fn each(&self) -> impl Iterator<Item = &Socket> {
        std::iter::once(&self.v4).chain(&self.v6)
    }

    /// Sends everything. What the network refuses is lost, as on the way.
    pub(super) fn send(&self, out: &mut Outbox) {
        for run in out.runs() {
            let socket = if run.to().is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
            if let Some(socket) = socket {
                socket.send(run);
            }
        }
        out.clear();
    }
}

impl Socket {
    fn new(socket: UdpSocket, mark: u32) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        // An outer packet that is too long for its line is cut and joined on the way, as with the kernel's WireGuard.
        let is_v4 = socket.local_addr()?.is_ipv4();
        if is_v4 {
            set_option(
                &socket,
                nix::libc::IPPROTO_IP,
                nix::libc::IP_MTU_DISCOVER,
                nix::libc::IP_PMTUDISC_DONT,
            )?;
        } else {
            let level = nix::libc::IPPROTO_IPV6;
            set_option(&socket, level, nix::libc::IPV6_MTU_DISCOVER, nix::libc::IPV6_PMTUDISC_DONT)?;
            set_option(&socket, level, nix::libc::IPV6_DONTFRAG, 0)?;
        }
        grow_buffers(&socket);
        let socket = Self { socket, state, refuses_segments: AtomicBool::new(false) };
        if mark != 0 {
            socket.set_mark(mark)?;
        }
        Ok(socket)
    }

    fn set_mark(&self, mark: u32) -> io::Result<()> {
        Ok(setsockopt(&self.socket, sockopt::Mark, &mark)?)
    }

    /// Takes what has come, without waiting.
    pub(super) fn receive(&self, buffers: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        match self.state.recv((&self.socket).into(), buffers, meta) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }

    fn send(&self, run: &Run) {
        let is_one = run.bytes().len() <= run.segment_bytes();
        if is_one || !self.refuses_segments.load(Ordering::Relaxed) {
            let sent = self.send_bytes(run, run.bytes(), (!is_one).then(|| run.segment_bytes()));
            match sent {
                Err(error) if !is_one && refuses_segments(&error) => {
                    self.refuses_segments.store(true, Ordering::Relaxed);
                }
                _ => return,
            }
        }
        for segment in run.segments() {
            // Lost here is lost on the way: whoever is inside sends again.
            let _ = self.send_bytes(run, segment, None);
        }
    }

    fn send_bytes(&self, run: &Run, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let ecn = EcnCodepoint::from_bits(run.ecn().bits());
        let transmit = Transmit { destination: run.to(), ecn, contents, segment_size, src_ip: None };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut writable = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                poll(&mut writable, PollTimeout::from(SEND_WAIT_MILLISECONDS))?;
                self.state.try_send((&self.socket).into(), &transmit)
            }
            result => result,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// EIO is a card's answer, EINVAL an old kernel's or that of a line that is too narrow for a segment.
fn refuses_segments(error: &io::Error) -> bool {
    is(error, Errno::EIO) || is(error, Errno::EINVAL) || is(error, Errno::EMSGSIZE)
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

fn bind_v6(port: u16) -> io::Result<UdpSocket> {
    let socket: OwnedFd = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let SocketAddr::V6(address) = address else { return Err(Errno::EAFNOSUPPORT.into()) };
    let address: SockaddrStorage = address.into();
    bind(socket.as_raw_fd(), &address)?;
    Ok(UdpSocket::from(socket))
}

/// More than the system's own limit needs NET_ADMIN, which an interface needs anyway; without it, as much as it gives.
fn grow_buffers(socket: &UdpSocket) {
    if setsockopt(socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::RcvBuf, &BUFFER_BYTES);
    }
    if setsockopt(socket, sockopt::SndBufForce, &BUFFER_BYTES).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &BUFFER_BYTES);
    }
}

fn set_option(socket: &UdpSocket, level: i32, name: i32, value: i32) -> io::Result<()> {
    let bytes = nix::libc::socklen_t::try_from(size_of::<i32>()).expect("four fit");
    let fd = socket.as_raw_fd();
    // SAFETY: the option is one `int`, which outlives the call, and the length is its own.
    let status = unsafe { nix::libc::setsockopt(fd, level, name, (&raw const value).cast(), bytes) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
