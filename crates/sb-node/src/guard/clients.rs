//! The guard's socket: who may command it, and sending without ever waiting.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, getsockopt, listen, recv,
    send, socket, sockopt::PeerCredentials,
};

use super::config::{CLIENTS_MAX, GuardConfig, GuardError};
use super::log;
use super::messages::{GuardEvent, GuardReply};
use super::wire::{self, FromGuard, MESSAGE_BYTES_MAX, ToGuard};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 8;

/// One connection, for as long as it lasts: a later one in the same place is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientToken {
    slot: usize,
    serial: u64,
}

/// The listener and its connections.
pub(super) struct Clients {
    listener: OwnedFd,
    agent_uid: Option<u32>,
    connections: [Option<Connection>; CLIENTS_MAX],
    next_serial: u64,
    incoming: Box<[u8]>,
    outgoing: Box<[u8]>,
}

struct Connection {
    socket: OwnedFd,
    serial: u64,
}

impl Clients {
    /// Takes the place in the run directory. The caller holds its lock, so a socket that is there belongs to nobody.
    pub(super) fn bind(config: &GuardConfig) -> Result<Self, GuardError> {
        let path = config.socket();
        let failed = |source: io::Error| GuardError::RunDir { path: path.clone(), source };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
            .map_err(|errno| failed(errno.into()))?;
        let address = UnixAddr::new(&path).map_err(|errno| failed(errno.into()))?;
        bind(listener.as_raw_fd(), &address).map_err(|errno| failed(errno.into()))?;
        // Giving the file to the agent's user would need a capability; the peer's credentials decide in any case.
        let mode = if config.agent_uid.is_some() { 0o666 } else { 0o600 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self {
            listener,
            agent_uid: config.agent_uid,
            connections: [const { None }; CLIENTS_MAX],
            next_serial: 0,
            incoming: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
            outgoing: vec![0; MESSAGE_BYTES_MAX].into_boxed_slice(),
        })
    }

    /// Lets clients connect, from now on.
    pub(super) fn listen(&self) -> Result<(), GuardError> {
        let backlog = Backlog::new(BACKLOG).expect("a small number is valid");
        listen(&self.listener, backlog)
            .map_err(|errno| GuardError::System { action: "listen", source: errno.into() })
    }

    pub(super) fn listener(&self) -> RawFd {
        self.listener.as_raw_fd()
    }

    /// The descriptor in `slot`; -1, which poll passes over, when there is none.
    pub(super) fn descriptor(&self, slot: usize) -> RawFd {
        self.connections[slot].as_ref().map_or(-1, |connection| connection.socket.as_raw_fd())
    }

    /// Takes one new connection, if its peer may command this guard and there is room.
    pub(super) fn accept(&mut self) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let Ok(raw) = accept4(self.listener.as_raw_fd(), flags) else { return };
        // SAFETY: `accept4` has just made it, and nothing else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        match getsockopt(&socket, PeerCredentials) {
            Ok(peer) if self.permits(peer.uid()) => {}
            Ok(peer) => {
                return log::warn(format_args!("turned away a client of user {}", peer.uid()));
            }
            Err(errno) => return log::warn(format_args!("turned away an unknown client: {errno}")),
        }
        let Some(free) = self.connections.iter_mut().find(|connection| connection.is_none()) else {
            return log::warn(format_args!("turned away a client: {CLIENTS_MAX} are connected"));
        };
        *free = Some(Connection { socket, serial: self.next_serial });
        self.next_serial += 1;
    }

    /// The next request of the client in `slot`. Whoever says something that cannot be understood is dropped.
    pub(super) fn receive(&mut self, slot: usize) -> Option<(ClientToken, ToGuard)> {
        let connection = self.connections[slot].as_ref()?;
        let token = ClientToken { slot, serial: connection.serial };
        // With MSG_TRUNC the length is the datagram's, so a longer one is noticed.
        let received = recv(connection.socket.as_raw_fd(), &mut self.incoming, MsgFlags::MSG_TRUNC);
        let message = match received {
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Ok(length @ 1..) => self.incoming.get(..length).and_then(wire::decode),
            Ok(0) | Err(_) => None,
        };
        if message.is_none() {
            self.connections[slot] = None;
        }
        message.map(|message| (token, message))
    }

    /// Answers, if the client is still there.
    pub(super) fn reply(&mut self, client: ClientToken, id: u64, reply: GuardReply) {
        let current = self.connections[client.slot].as_ref();
        if current.is_some_and(|connection| connection.serial == client.serial) {
            self.send(client.slot, &FromGuard::Reply { id, reply });
        }
    }

    /// Tells everybody.
    pub(super) fn broadcast(&mut self, event: &GuardEvent) {
        let message = FromGuard::Event(event.clone());
        for slot in 0..CLIENTS_MAX {
            self.send(slot, &message);
        }
    }

    /// A client that does not read is dropped: the guard waits for nobody.
    fn send(&mut self, slot: usize, message: &FromGuard) {
        let Some(connection) = &self.connections[slot] else { return };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = wire::encode(message, &mut self.outgoing)
            .map(|bytes| send(connection.socket.as_raw_fd(), bytes, flags));
        if !matches!(sent, Some(Ok(_))) {
            self.connections[slot] = None;
        }
    }

    fn permits(&self, uid: u32) -> bool {
        uid == 0 || uid == nix::unistd::geteuid().as_raw() || Some(uid) == self.agent_uid
    }
}
