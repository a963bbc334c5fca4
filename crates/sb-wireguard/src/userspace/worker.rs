use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quinn_udp::RecvMeta;

use super::clock;
use super::device::{Device, ReadError};
use super::link_watch::LinkWatch;
use super::running::Running;
use super::sockets::Sockets;
use crate::engine::{Datagram, Ecn, Inbox, Outbox};

/// Reads of the device before the network has its turn.
const READS_MAX: usize = 16;
/// Receives of a socket before the device has its turn.
const RECEIVES_MAX: usize = 4;
/// Messages of one receive; each may be many datagrams.
const MESSAGES_MAX: usize = 8;
/// The kernel joins datagrams up to this size.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// The thread that moves packets between the device and the network.
pub(super) struct Worker {
    shared: Arc<Running>,
    sockets: Arc<Sockets>,
    device: Device,
    links: Option<LinkWatch>,
    inbox: Inbox,
    out: Outbox,
    received: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    woken: bool,
    links: bool,
    device: bool,
    network: bool,
}

impl Worker {
    pub(super) fn new(shared: Arc<Running>, device: Device) -> Self {
        Self {
            sockets: shared.sockets(),
            shared,
            device,
            // Without it the padding of packets may be wrong by a few bytes after the MTU was changed.
            links: LinkWatch::open().ok(),
            inbox: Inbox::default(),
            out: Outbox::default(),
            received: vec![0; MESSAGES_MAX * MESSAGE_BYTES_MAX],
        }
    }

    pub(super) fn shared(&self) -> &Running {
        &self.shared
    }

    /// Goes on until it is told to end, or the device is gone.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.shared.is_ending() {
            let ready = self.wait()?;
            if ready.woken {
                self.shared.take_wake();
                self.sockets = self.shared.sockets();
            }
            if ready.links {
                self.read_mtu();
            }
            if ready.network {
                self.receive()?;
            }
            // What was written into the device has often been answered already.
            if ready.device || ready.network {
                self.read()?;
            }
            self.tend()?;
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<Ready> {
        let watched = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![watched(self.shared.wake_fd()), watched(self.device.as_fd())];
        fds.extend(self.links.iter().map(|links| watched(links.as_fd())));
        let network_from = fds.len();
        fds.extend(self.sockets.each().map(|socket| watched(socket.as_fd())));
        match poll(&mut fds, self.timeout()?) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        Ok(Ready {
            woken: is_ready(&fds[0]),
            device: is_ready(&fds[1]),
            links: fds[2..network_from].iter().any(is_ready),
            network: fds[network_from..].iter().any(is_ready),
        })
    }

    fn timeout(&self) -> io::Result<PollTimeout> {
        let Some(due) = self.shared.engine().poll_timeout() else { return Ok(PollTimeout::NONE) };
        let left = due.saturating_sub(clock::now()?.boot);
        // Rounded up: a wake just before the time would be one for nothing.
        let milliseconds = left.saturating_add(Duration::from_micros(999)).as_millis();
        Ok(PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX))
    }

    fn read_mtu(&mut self) {
        if let Some(links) = &self.links {
            links.drain();
        }
        if let Ok(mtu_bytes) = self.device.mtu_bytes() {
            self.shared.engine().set_mtu(mtu_bytes);
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let sockets = Arc::clone(&self.sockets);
        for socket in sockets.each() {
            for _ in 0..RECEIVES_MAX {
                let mut meta = [RecvMeta::default(); MESSAGES_MAX];
                let mut parts = self.received.chunks_mut(MESSAGE_BYTES_MAX);
                let mut buffers: [IoSliceMut<'_>; MESSAGES_MAX] =
                    std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
                // An error here is one of an earlier send; the next receive answers.
                let messages = socket.receive(&mut buffers, &mut meta).unwrap_or(0);
                for (at, meta) in meta[..messages].iter().enumerate() {
                    self.take(at, meta)?;
                }
                self.hand_over()?;
                if messages < MESSAGES_MAX {
                    break;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, at: usize, meta: &RecvMeta) -> io::Result<()> {
        let bytes = &self.received[at * MESSAGE_BYTES_MAX..][..meta.len];
        let ecn = meta.ecn.map_or_else(Ecn::default, |ecn| Ecn::from_bits(ecn as u8));
        let datagrams =
            bytes.chunks(meta.stride.max(1)).map(|bytes| Datagram { from: meta.addr, ecn, bytes });
        self.shared.engine().on_udp_batch(datagrams, clock::now()?, &mut self.out, &mut self.inbox);
        if self.inbox.is_full() {
            self.hand_over()?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        self.sockets.send(&mut self.out);
        self.device.write(&mut self.inbox)
    }

    fn read(&mut self) -> io::Result<()> {
        for nth in 0..READS_MAX {
            match self.device.read() {
                Ok((buffers, sizes)) => {
                    self.shared.engine().on_tun_batch(buffers, sizes, clock::now()?, &mut self.out);
                }
                Err(ReadError::Nothing) => break,
                Err(ReadError::Gone(error)) => return Err(error),
            }
            // The first leaves at once, whether or not there is more.
            if nth == 0 || self.out.is_full() {
                self.sockets.send(&mut self.out);
            }
        }
        self.sockets.send(&mut self.out);
        Ok(())
    }

    fn tend(&mut self) -> io::Result<()> {
        self.shared.engine().on_timer(clock::now()?, &mut self.out);
        self.sockets.send(&mut self.out);
        Ok(())
    }
}
