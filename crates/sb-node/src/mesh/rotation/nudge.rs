use std::io;
use std::net::UdpSocket;

use sb_wireguard::DesiredInterface;

/// The port of the discard protocol (RFC 863), where nobody listens.
const DISCARD: u16 = 9;

/// Sends every peer a packet, so that a session is made at once: the kernel's WireGuard makes none before there is something
/// to send, and the peers move when they hear the new key.
pub(in crate::mesh) fn nudge(interface: &DesiredInterface) {
    let addresses = interface.peers.iter().flat_map(|peer| &peer.addresses).map(|range| range.address());
    let send = || -> io::Result<()> {
        let socket = UdpSocket::bind((interface.address.address(), 0))?;
        socket.set_nonblocking(true)?;
        for address in addresses {
            // Who cannot be sent to now shakes hands by keepalive.
            let _ = socket.send_to(&[], (address, DISCARD));
        }
        Ok(())
    };
    if let Err(error) = send() {
        tracing::debug!(%error, "the peers were not nudged");
    }
}
