//! Whether the kernel passes packets on that came in through the tunnel.
//!
//! It is on for the tunnel's interface alone, and only while this server carries others' packets; otherwise as the host has
//! it for new interfaces. So nothing has to be remembered over a crash: the next look puts it right. The packet filter says
//! which packets are passed on ([`super::firewall`]).
//!
//! IPv4 is forwarded by the interface that a packet came in by (`Documentation/networking/ip-sysctl.rst`, `forwarding`).
//! IPv6 is forwarded by all interfaces or none, until Linux 6.17 brought `force_forwarding`.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where the kernel has its settings of the network.
const SETTINGS: &str = "/proc/sys/net";

/// The setting could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardingError {
    /// The kernel refuses.
    #[error("could not set `{}`", path.display())]
    Refused {
        /// Which setting.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be done for one interface.
    #[error("this kernel forwards IPv6 for all interfaces or for none (Linux 6.17 can for one)")]
    AllOrNone,
}

/// What is asked of the kernel for one family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forward {
    /// What comes in through the tunnel is passed on.
    Tunnel,
    /// As the host has it for new interfaces.
    AsTheHost,
}

/// Has the kernel forward, or not, what comes in by `interface`.
///
/// # Errors
/// When the kernel refuses; then it stays as it is.
pub(super) fn set(interface: &str, four: Forward, six: Forward) -> Result<(), ForwardingError> {
    let settings = Path::new(SETTINGS);
    let of_four = put(&settings.join("ipv4/conf"), interface, "forwarding", four);
    let six_settings = settings.join("ipv6/conf");
    let of_six = match six {
        Forward::Tunnel if !has(&six_settings, interface) => {
            match reads(&six_settings.join("all/forwarding")) {
                Ok(value) if value == "1" => Ok(()),
                _ => Err(ForwardingError::AllOrNone),
            }
        }
        Forward::AsTheHost if !has(&six_settings, interface) => Ok(()),
        asked => put(&six_settings, interface, "force_forwarding", asked),
    };
    of_four.and(of_six)
}

/// Has the kernel forward as the host does for new interfaces, where there is an `interface`.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn withdraw(interface: &str) -> Result<(), ForwardingError> {
    match Path::new(SETTINGS).join("ipv4/conf").join(interface).exists() {
        true => set(interface, Forward::AsTheHost, Forward::AsTheHost),
        false => Ok(()),
    }
}

/// Whether the kernel could be had to forward what comes in by `interface` for the family of `address`.
pub(super) fn is_possible(interface: &str, address: IpAddr) -> bool {
    let settings = Path::new(SETTINGS);
    match address {
        IpAddr::V4(_) => {
            let path = settings.join("ipv4/conf").join(interface).join("forwarding");
            rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
        }
        IpAddr::V6(_) => {
            let settings = settings.join("ipv6/conf");
            has(&settings, interface) || reads(&settings.join("all/forwarding")).is_ok_and(|it| it == "1")
        }
    }
}

fn has(settings: &Path, interface: &str) -> bool {
    settings.join(interface).join("force_forwarding").exists()
}

/// Writes only what differs: every write of some of these has the kernel look through its routes.
fn put(settings: &Path, interface: &str, name: &str, asked: Forward) -> Result<(), ForwardingError> {
    let path = settings.join(interface).join(name);
    let put = || {
        let wanted = match asked {
            Forward::Tunnel => "1".to_owned(),
            Forward::AsTheHost => reads(&settings.join("default").join(name))?,
        };
        if reads(&path)? == wanted { Ok(()) } else { std::fs::write(&path, wanted) }
    };
    put().map_err(|source| ForwardingError::Refused { path: path.clone(), source })
}

fn reads(path: &Path) -> io::Result<String> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
