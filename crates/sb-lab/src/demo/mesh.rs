//! The mesh as one server tells it, as text. Pure.

use sb_api::{Mesh, MeshPeer, MeshPeerState};

use crate::outside::{SERVICES, STRANGER, Visit};

/// How many pairs of servers have a session, by the word of both.
pub(super) fn headline(mesh: &Mesh) -> String {
    let names: Vec<&str> = mesh.servers.iter().map(|server| server.name.as_str()).collect();
    let pairs =
        names.iter().enumerate().flat_map(|(at, one)| names[at + 1..].iter().map(move |other| (one, other)));
    let (all, up) = pairs.fold((0, 0), |(all, up), (one, other)| {
        let both = hears(mesh, one, other) && hears(mesh, other, one);
        (all + 1, up + usize::from(both))
    });
    format!("the mesh, by `{}`: {up} of {all} pairs of servers have a session", mesh.observer)
}

/// A line for each other server: how fresh the session is, and how long a question takes through it.
pub(super) fn table(mesh: &Mesh) -> Vec<String> {
    let head = row("tunnel to", "handshake", "round trip");
    let others = mesh.servers.iter().filter(|server| server.name != mesh.observer);
    let line = |server: &sb_api::MeshServer| {
        let peer = peer(mesh, &mesh.observer, &server.name);
        let age = peer.and_then(|peer| peer.handshake_age_seconds).map(|age| format!("{age} s ago"));
        // Hundreds of microseconds are what a busy machine can tell.
        let way = server.round_trip_us.map(|us| format!("{}.{} ms", us / 1_000, us % 1_000 / 100));
        row(&server.name, &age.unwrap_or_else(dash), &way.unwrap_or_else(dash))
    };
    std::iter::once(head).chain(others.map(line)).collect()
}

/// What a host that is no member has got.
pub(super) fn refusal(visit: &Visit) -> String {
    let ports = SERVICES.map(|port| port.to_string()).join(", ");
    let servers = visit.asked.len();
    match visit.answered.as_slice() {
        [] => {
            format!("a stranger at {STRANGER} asks {servers} servers for the ports {ports}: nobody answers")
        }
        answered => {
            let answered: Vec<_> =
                answered.iter().map(|(place, port)| format!("`{place}` port {port}")).collect();
            format!("a stranger at {STRANGER} is answered by {}", answered.join(", "))
        }
    }
}

fn hears(mesh: &Mesh, one: &str, other: &str) -> bool {
    peer(mesh, one, other).is_some_and(|peer| peer.state == MeshPeerState::Up)
}

fn peer<'a>(mesh: &'a Mesh, of: &str, name: &str) -> Option<&'a MeshPeer> {
    let server = mesh.servers.iter().find(|server| server.name == of)?;
    server.mesh.as_ref()?.peers.iter().find(|peer| peer.name == name)
}

fn row(server: &str, handshake: &str, round_trip: &str) -> String {
    format!("  {server:<13} {handshake:>10} {round_trip:>11}")
}

fn dash() -> String {
    "-".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Place;
    use sb_api::{MeshServer, MeshStatus};

    fn server(name: &str, peers: &[(&str, MeshPeerState)], round_trip_us: Option<u64>) -> MeshServer {
        let peers = serde_json::to_value(
            peers
                .iter()
                .map(|(name, state)| {
                    serde_json::json!({
                        "name": name, "state": state, "public_key": "", "wanted_endpoints": [], "endpoint": null,
                        "addresses": [], "keepalive_seconds": 25, "handshake_age_seconds": 7,
                        "received_bytes": 0, "sent_bytes": 0,
                    })
                })
                .collect::<Vec<_>>(),
        )
        .unwrap();
        let mesh = serde_json::json!({
            "interface": name, "kind": "userspace", "address": "", "public_key": "", "listen_port": 51820,
            "mtu": 1420, "peers": peers, "without_key": [], "differences": [],
        });
        let mesh: Option<MeshStatus> = serde_json::from_value(mesh).unwrap();
        MeshServer { name: name.into(), mesh, round_trip_us }
    }

    #[test]
    fn a_pair_counts_when_both_hear_each_other() {
        use MeshPeerState::{Silent, Up};
        let mut mesh = Mesh {
            observer: "ravena-1".into(),
            servers: vec![
                server("burlington-1", &[("ravena-1", Up), ("tucson-1", Up)], Some(8_640)),
                server("ravena-1", &[("burlington-1", Up), ("tucson-1", Up)], None),
                server("tucson-1", &[("ravena-1", Silent), ("burlington-1", Up)], Some(75_099)),
            ],
        };
        assert_eq!(headline(&mesh), "the mesh, by `ravena-1`: 2 of 3 pairs of servers have a session");
        assert_eq!(
            table(&mesh),
            [
                "  tunnel to      handshake  round trip",
                "  burlington-1     7 s ago      8.6 ms",
                "  tucson-1         7 s ago     75.0 ms"
            ]
        );
        mesh.servers[2].mesh = None;
        assert_eq!(headline(&mesh), "the mesh, by `ravena-1`: 1 of 3 pairs of servers have a session");
    }

    #[test]
    fn a_stranger_who_is_answered_is_named_what_answers() {
        let tucson = Place::named("tucson-1").unwrap();
        let mut visit = Visit { asked: vec![tucson], answered: Vec::new() };
        assert!(
            refusal(&visit).ends_with("1 servers for the ports 5432, 7432, 8008, 8009, 8080: nobody answers")
        );
        visit.answered.push((tucson, 5432));
        assert!(refusal(&visit).ends_with("is answered by `tucson-1` port 5432"));
    }
}
