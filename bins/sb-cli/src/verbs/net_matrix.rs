//! Every pair of servers on one page, as each of the two sees the other.

use sb_api::{Mesh, MeshPeer, MeshPeerState, MeshServer};

use super::Ended;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Ink, Terminal};
use crate::units::show_micros;

/// A row for each server as it sees the others.
pub fn matrix(mesh: &Mesh, terminal: &mut Terminal) -> Ended {
    let names = mesh.servers.iter().map(|server| server.name.as_str());
    let titles: Vec<&str> = ["SEEN FROM"].into_iter().chain(names).collect();
    let mut table = Table::new(terminal.colour(), &titles);
    for server in &mesh.servers {
        let cells = mesh.servers.iter().map(|other| pair(server, other));
        table.row([Cell::new(&server.name)].into_iter().chain(cells).collect());
    }
    terminal.data(table)?;
    for legend in legends(mesh) {
        terminal.data(legend)?;
    }
    Ok(Exit::Done)
}

/// What the words in the table mean, where they occur.
fn legends(mesh: &Mesh) -> Vec<&'static str> {
    let peers = || mesh.servers.iter().filter_map(|server| server.mesh.as_ref()).flat_map(|mesh| &mesh.peers);
    let mut legends = Vec::new();
    if peers().any(|peer| peer.loss_percent.is_some_and(|loss| loss > 0)) {
        legends.push("N% lost: of the last minute's small probes, there or back");
    }
    if peers().any(|peer| peer.full_size == Some(false) && peer.mtu_passes == Some(true)) {
        legends.push("<=N: larger packets get lost on the way, and packets of up to N bytes are used");
    }
    if peers().any(|peer| peer.mtu_passes == Some(false)) {
        legends.push("BLACK HOLE: large packets get lost on the way, small ones pass");
    }
    legends
}

fn pair(from: &MeshServer, to: &MeshServer) -> Cell {
    if from.name == to.name {
        return Cell::new("");
    }
    let Some(mesh) = &from.mesh else { return Cell::new("?").ink(Ink::Dim) };
    match mesh.peers.iter().find(|peer| peer.name == to.name) {
        None => Cell::new("no peer").ink(Ink::Red),
        Some(peer) => seen(peer),
    }
}

/// The round trip and what is wrong, where probes come back; else in what state the session is.
fn seen(peer: &MeshPeer) -> Cell {
    let answered = peer.loss_percent.is_some_and(|loss| loss < 100);
    match (peer.state, peer.round_trip_us.filter(|_| answered)) {
        (_, Some(round_trip_us)) => answering(peer, round_trip_us),
        (_, None) if peer.via.is_some() => {
            Cell::of(peer.via.as_ref().map(|via| format!("via {via}"))).ink(Ink::Yellow)
        }
        (MeshPeerState::Up, None) if peer.loss_percent == Some(100) => Cell::new("no answer").ink(Ink::Red),
        (MeshPeerState::Up, None) => {
            let age = peer.handshake_age_seconds.map_or("up".into(), |age| format!("up {age} s"));
            Cell::new(age).ink(Ink::Green)
        }
        (state, None) => Cell::new(state.as_str()).ink(ink(state)),
    }
}

fn answering(peer: &MeshPeer, round_trip_us: u64) -> Cell {
    let mut text = show_micros(round_trip_us);
    let mut shade = Ink::Green;
    if let Some(via) = &peer.via {
        text += &format!(", via {via}");
        shade = Ink::Yellow;
    }
    if let Some(loss) = peer.loss_percent.filter(|loss| *loss > 0) {
        text += &format!(", {loss}% lost");
        shade = Ink::Yellow;
    }
    match (peer.mtu_passes, peer.full_size, peer.mtu) {
        (Some(false), ..) => {
            text += ", BLACK HOLE";
            shade = Ink::Red;
        }
        (Some(true), Some(false), Some(mtu)) => {
            text += &format!(", <={mtu}");
            shade = Ink::Yellow;
        }
        _ => {}
    }
    Cell::new(text).ink(shade)
}

pub const fn ink(state: MeshPeerState) -> Ink {
    match state {
        MeshPeerState::Up => Ink::Green,
        MeshPeerState::Silent => Ink::Red,
        MeshPeerState::Never => Ink::Dim,
    }
}
