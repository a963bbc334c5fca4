//! By which public keys the servers are known, and what to do about a server that has another.

use std::collections::BTreeSet;

use sb_api::{Mesh, MeshPeer, MeshPeerState, MeshStatus};

use super::Ended;
use super::net_matrix::ink;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::Terminal;

/// A row for each server; two while its key is being replaced.
pub fn keys(mesh: &Mesh, own: &MeshStatus, terminal: &mut Terminal) -> Ended {
    let mut table = Table::new(terminal.colour(), &["SERVER", "PUBLIC KEY", "SESSION"]);
    for server in &mesh.servers {
        if server.name == mesh.observer {
            table.row(vec![Cell::new(&server.name), Cell::new(&own.public_key), Cell::new("this server")]);
        }
        for peer in own.peers.iter().filter(|peer| peer.name == server.name) {
            let session = Cell::new(peer.state.as_str()).ink(ink(peer.state));
            table.row(vec![Cell::new(&peer.name), Cell::new(&peer.public_key), session]);
        }
        if own.without_key.contains(&server.name) {
            table.row(vec![Cell::new(&server.name), Cell::new(""), Cell::new("its key is not known")]);
        }
    }
    terminal.data(table)?;
    Ok(Exit::Done)
}

/// Says what to do about servers that nobody hears: a key that nobody knows looks like a server that is switched off.
pub fn missed(mesh: &Mesh, own: &MeshStatus, terminal: &mut Terminal) {
    let servers: BTreeSet<&str> = mesh.servers.iter().map(|server| server.name.as_str()).collect();
    let others = own.peers.iter().filter(|peer| servers.contains(peer.name.as_str()));
    let missed: Vec<&MeshPeer> = others.clone().filter(|peer| is_missed(mesh, peer)).collect();
    if !missed.is_empty() && missed.len() == others.count() {
        terminal.talk("hint: This server hears no other one. If it was set up anew, its sites.json may name keys that were");
        terminal.talk("      replaced, or the others may know it by its old one. On a server that is heard: sb-cli net keys");
        terminal.talk(format!("      and: sb-cli net accept-key {} {}", mesh.observer, own.public_key));
        return;
    }
    let names: BTreeSet<&str> = missed.into_iter().map(|peer| peer.name.as_str()).collect();
    for name in names {
        terminal.talk(format!(
            "hint: Nobody hears `{name}`. If it runs and has another key since it was set up anew,"
        ));
        terminal.talk(format!(
            "      which `sb-agent mesh-key` prints there: sb-cli net accept-key {name} PUBLICKEY"
        ));
    }
}

/// Whether no server has a session with a peer, of those that say anything.
fn is_missed(mesh: &Mesh, peer: &MeshPeer) -> bool {
    let seen = mesh.servers.iter().filter_map(|server| server.mesh.as_ref()).flat_map(|mesh| &mesh.peers);
    !seen.filter(|seen| seen.name == peer.name).any(|seen| seen.state == MeshPeerState::Up)
}
