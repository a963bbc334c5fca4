use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::sockets::Sockets;
use super::{ApplyError, clock};
use crate::engine::{Engine, Outbox};
use crate::{Change, ObservedInterface};

/// What the thread that moves packets and those who ask and change have in common.
pub(super) struct Running {
    engine: Mutex<Engine>,
    sockets: Mutex<(Arc<Sockets>, u32)>,
    wake: EventFd,
    ending: AtomicBool,
    ended: OnceLock<io::Error>,
}

impl Running {
    pub(super) fn new(engine: Engine, sockets: Sockets) -> io::Result<Self> {
        Ok(Self {
            engine: Mutex::new(engine),
            sockets: Mutex::new((Arc::new(sockets), 0)),
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            ending: AtomicBool::new(false),
            ended: OnceLock::new(),
        })
    }

    /// The engine. It keeps its own rules at every return, so a panic elsewhere does not spoil it.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sockets(&self) -> Arc<Sockets> {
        Arc::clone(&self.sockets_and_mark().0)
    }

    pub(super) fn apply(&self, changes: &[Change]) -> Result<(), ApplyError> {
        let mut out = Outbox::default();
        let applied = changes.iter().try_for_each(|change| match change {
            Change::ListenPort(port) => self.listen(*port),
            Change::FirewallMark(mark) => self.mark(*mark),
            Change::PrivateKey(_) | Change::RemoveAllPeers | Change::RemovePeer(_) | Change::Peer(_) => {
                let now = clock::now().map_err(ApplyError::Clock)?;
                Ok(self.engine().apply(change, now, &mut out)?)
            }
        });
        self.sockets().send(&mut out);
        self.wake();
        applied
    }

    pub(super) fn observe(&self) -> ObservedInterface {
        let (sockets, mark) = self.sockets_and_mark().clone();
        let engine = self.engine();
        ObservedInterface {
            private_key: engine.private_key().cloned(),
            listen_port: sockets.port(),
            firewall_mark: mark,
            peers: engine.observe(),
        }
    }

    pub(super) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn take_wake(&self) {
        // Nothing to take is as good.
        let _ = self.wake.read();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Has the threads end.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn set_ended(&self, error: io::Error) {
        // The first reason counts.
        let _ = self.ended.set(error);
    }

    pub(super) fn ended(&self) -> Option<&io::Error> {
        self.ended.get()
    }

    fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = self.wake.write(1);
    }

    /// The new sockets are opened before the old ones are given up.
    fn listen(&self, port: u16) -> Result<(), ApplyError> {
        let mut sockets = self.sockets_and_mark();
        if port != 0 && port == sockets.0.port() {
            return Ok(());
        }
        let opened = Sockets::open(port, sockets.1).map_err(|source| ApplyError::Port { port, source })?;
        sockets.0 = Arc::new(opened);
        Ok(())
    }

    fn mark(&self, mark: u32) -> Result<(), ApplyError> {
        let mut sockets = self.sockets_and_mark();
        sockets.0.set_mark(mark).map_err(ApplyError::Mark)?;
        sockets.1 = mark;
        Ok(())
    }

    fn sockets_and_mark(&self) -> MutexGuard<'_, (Arc<Sockets>, u32)> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
