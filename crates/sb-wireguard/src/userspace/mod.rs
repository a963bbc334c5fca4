//! A WireGuard interface of this process: a TUN device, UDP sockets, and the [engine](crate::engine) between them.
//!
//! It needs the capability NET_ADMIN and `/dev/net/tun`, and lives in the network namespace of the thread that makes
//! it. `wg` finds it by its control socket and can show and change it like a kernel's interface.

mod clock;
mod control;
mod device;
mod error;
mod link_watch;
mod running;
mod sockets;
mod worker;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use error::{ApplyError, CreateError};

use control::Control;
use device::Device;
use running::Running;
use sockets::Sockets;
use worker::Worker;

use crate::engine::{Engine, Rejected};
use crate::{Change, ObservedInterface};

/// Where `wg` looks for the control sockets of interfaces that are not the kernel's.
pub const CONTROL_DIRECTORY: &str = "/var/run/wireguard";

/// How an interface is made. Keys, port and peers are [changes](Change) to it afterwards.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The interface's name, 15 bytes at most.
    pub name: String,
    /// The longest packet inside, in bytes.
    pub mtu_bytes: u16,
    /// The addresses of this host on it.
    pub addresses: Vec<HostAddress>,
    /// Where its control socket is made; `wg` looks in [`CONTROL_DIRECTORY`]. None for no such socket.
    pub control_directory: Option<PathBuf>,
}

/// An address of this host with the length of the prefix that is reached through the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix's length in bits.
    pub prefix: u8,
}

/// A running interface; dropping it takes the device and the control socket away.
pub struct UserspaceInterface {
    shared: Arc<Running>,
    worker: Option<JoinHandle<()>>,
    control: Option<Control>,
}

impl UserspaceInterface {
    /// Makes the device and begins to serve it, on a free port and without key and peers.
    ///
    /// # Errors
    /// When the name is taken, or the system refuses a device, socket or thread.
    pub fn create(configuration: &Configuration) -> Result<Self, CreateError> {
        let device = Device::create(configuration)
            .map_err(|source| CreateError::Device { name: configuration.name.clone(), source })?;
        let sockets = Sockets::open(0, 0).map_err(CreateError::Socket)?;
        let engine = Engine::new(configuration.mtu_bytes);
        let shared = Arc::new(Running::new(engine, sockets).map_err(CreateError::Thread)?);
        let directory = configuration.control_directory.as_deref();
        let control = directory
            .map(|directory| Control::open(Arc::clone(&shared), directory, &configuration.name))
            .transpose()?;
        let mut worker = Worker::new(Arc::clone(&shared), device);
        let worker = std::thread::Builder::new()
            .name(configuration.name.clone())
            .spawn(move || {
                // A panic ends the interface like every other failure: who keeps it makes it anew.
                let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| worker.run()));
                let panicked = |_| Err(io::Error::other("the thread that moves packets panicked"));
                if let Err(error) = run.unwrap_or_else(panicked) {
                    worker.shared().set_ended(error);
                }
            })
            .map_err(CreateError::Thread)?;
        Ok(Self { shared, worker: Some(worker), control })
    }

    /// Carries changes out, in order. No session ends by it but those of peers that are removed, and all of them when
    /// the private key becomes another one.
    ///
    /// # Errors
    /// At the first change that cannot be carried out; those before it are in force.
    pub fn apply(&self, changes: &[Change]) -> Result<(), ApplyError> {
        self.shared.apply(changes)
    }

    /// Everything that it says of itself.
    #[must_use]
    pub fn observe(&self) -> ObservedInterface {
        self.shared.observe()
    }

    /// What went nowhere since the beginning.
    #[must_use]
    pub fn rejected(&self) -> Rejected {
        self.shared.engine().rejected()
    }

    /// Why it moves nothing any more, such as when somebody has deleted the device; [`None`] while it does.
    #[must_use]
    pub fn ended(&self) -> Option<&io::Error> {
        self.shared.ended()
    }
}

impl Drop for UserspaceInterface {
    fn drop(&mut self) {
        self.shared.end();
        self.control = None;
        if let Some(worker) = self.worker.take() {
            // A panic over there was told by the panic itself.
            let _ = worker.join();
        }
    }
}
