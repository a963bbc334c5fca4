//! The thread that moves bytes between the namespaces' TUN devices and the [`Router`].

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use tun_rs::SyncDevice;

use super::{PortId, Router};

/// Packets taken from one device before the others have their turn.
const BURST_PACKETS_MAX: usize = 64;

/// Largest packet of a device, its MTU.
pub const MTU_BYTES: u16 = 1500;

/// Without this the kernel may wake the thread 50 µs late.
const TIMER_SLACK_NANOSECONDS: u64 = 1_000;

/// A handle to the network that the carrier thread serves: faults are set through it.
#[derive(Debug, Clone)]
pub struct Wan {
    router: Arc<Mutex<Router>>,
}

impl Wan {
    /// The router, to change or to read. The network stands still meanwhile.
    pub fn router(&self) -> MutexGuard<'_, Router> {
        // The router's methods leave it whole at every return, so a panic elsewhere does not spoil it.
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running thread; dropping it stops the network.
#[derive(Debug)]
pub struct Carrier {
    wan: Wan,
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    /// Starts to serve these devices; the `n`-th belongs to port `n`.
    ///
    /// # Errors
    /// When a device cannot be made non-blocking or the thread cannot be started.
    pub fn start(router: Router, devices: Vec<SyncDevice>) -> io::Result<Self> {
        for device in &devices {
            device.set_nonblocking(true)?;
        }
        let wan = Wan { router: Arc::new(Mutex::new(router)) };
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let thread = std::thread::Builder::new().name("lab-wan".into()).spawn({
            let (wan, stop) = (wan.clone(), Arc::clone(&stop));
            move || carry(&wan, &devices, &stop)
        })?;
        Ok(Self { wan, stop, thread: Some(thread) })
    }

    /// The network that it serves.
    #[must_use]
    pub fn wan(&self) -> Wan {
        self.wan.clone()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        let told = self.stop.write(1).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _ = thread.join();
        }
    }
}

fn carry(wan: &Wan, devices: &[SyncDevice], stop: &EventFd) {
    // Best effort: a later wake-up only makes round trips less exact.
    let _ = nix::sys::prctl::set_timerslack(TIMER_SLACK_NANOSECONDS);
    let mut buffer = vec![0u8; usize::from(MTU_BYTES)];
    loop {
        let wait = wan.router().next_arrival().map(|due| due.saturating_duration_since(Instant::now()));
        let ready = match ready(devices, stop, wait) {
            Ok(Ready::Devices(ready)) => ready,
            Ok(Ready::Stop) => return,
            Err(error) => {
                tracing::error!(%error, "the wide-area network of the lab stopped");
                return;
            }
        };
        for port in ready {
            take_burst(wan, PortId(port), &devices[port], &mut buffer);
        }
        deliver_due(wan, devices);
    }
}

enum Ready {
    Devices(Vec<usize>),
    Stop,
}

fn ready(devices: &[SyncDevice], stop: &EventFd, wait: Option<Duration>) -> io::Result<Ready> {
    let mut fds: Vec<PollFd<'_>> =
        devices.iter().map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN)).collect();
    fds.push(PollFd::new(stop.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut fds, wait.map(TimeSpec::from_duration), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let readable = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| events.contains(PollFlags::POLLIN));
    if fds.last().is_some_and(readable) {
        return Ok(Ready::Stop);
    }
    Ok(Ready::Devices(fds.iter().enumerate().filter(|(_, fd)| readable(fd)).map(|(port, _)| port).collect()))
}

fn take_burst(wan: &Wan, from: PortId, device: &SyncDevice, buffer: &mut [u8]) {
    let mut router = wan.router();
    for _ in 0..BURST_PACKETS_MAX {
        // `WouldBlock` ends the burst; anything else means that the device is going away with its namespace.
        let Ok(bytes) = device.recv(buffer) else { return };
        // What the router drops is lost, as on a real line.
        let _ = router.enqueue(from, buffer[..bytes].to_vec(), Instant::now());
    }
}

fn deliver_due(wan: &Wan, devices: &[SyncDevice]) {
    let mut router = wan.router();
    let now = Instant::now();
    while let Some(delivery) = router.poll(now) {
        // A device that is down or full loses the packet, as a real interface does.
        let _ = devices[delivery.to.0].send(&delivery.packet);
    }
}
