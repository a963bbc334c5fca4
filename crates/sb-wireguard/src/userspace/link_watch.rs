use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc::RTMGRP_LINK;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Is told by the kernel when an interface changes, so that a new MTU is known before the next packet.
#[derive(Debug)]
pub(super) struct LinkWatch {
    socket: OwnedFd,
}

impl LinkWatch {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_LINK.cast_unsigned()))?;
        Ok(Self { socket })
    }

    /// Takes what was said; what it was is asked for elsewhere.
    pub(super) fn drain(&self) {
        let mut buffer = [0; 4096];
        while recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok_and(|bytes| bytes > 0) {}
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
