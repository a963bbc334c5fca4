//! A full mesh of six servers, 15 tunnels: each server is taken away in turn, and the rest stay connected.

use std::fs;

use sb_wireguard::{Change, PeerChange, PrivateKey};

use crate::host::{Host, Tunnel, is_root, peer_at};

const SERVERS: usize = 6;

/// Seconds; a server that returns calls the others, so that nobody waits for the first packet.
const KEEPALIVE: u16 = 1;

/// A server on a line of its own to the router between them.
struct Server {
    number: usize,
    host: Host,
    key: PrivateKey,
    /// [`None`] while it is away.
    tunnel: Option<Tunnel>,
}

impl Server {
    fn at(router: &Host, number: usize) -> Self {
        let host = Host::new();
        let (near, far) = (format!("198.18.{number}.2/24"), format!("198.18.{number}.1/24"));
        host.lay_line(router, ("line", &near), (&format!("to{number}"), &far));
        host.ip(&format!("route add default via 198.18.{number}.1"));
        Self { number, host, key: PrivateKey::generate(), tunnel: None }
    }

    fn inside(&self) -> String {
        format!("10.9.0.{}", self.number + 1)
    }

    fn outside(&self) -> String {
        format!("198.18.{}.2:51820", self.number)
    }

    fn reaches(&self, other: &Self) {
        self.host.reaches(&other.inside());
    }
}

/// Brings a server up with the key that it always had, and every other one as its peer.
fn switch_on(servers: &mut [Server], number: usize) {
    let server = &servers[number];
    let tunnel = Tunnel::with_key(&server.host, &server.inside(), server.key.clone());
    for other in servers.iter().filter(|other| other.number != number) {
        let inside = other.inside().parse().unwrap();
        let change = peer_at(other.key.public_key(), inside, Some(&other.outside()));
        let change = PeerChange { keepalive_seconds: Some(KEEPALIVE), ..change };
        tunnel.interface.apply(&[Change::Peer(change)]).unwrap();
    }
    servers[number].tunnel = Some(tunnel);
}

/// Every pair of those that are there, once.
fn pairs(servers: &[Server]) -> Vec<(&Server, &Server)> {
    let there = || servers.iter().filter(|server| server.tunnel.is_some());
    let after = |one: &Server| {
        let number = one.number;
        there().filter(move |other| other.number > number)
    };
    there().flat_map(|one| after(one).map(move |other| (one, other))).collect()
}

#[test]
fn whichever_of_six_servers_is_taken_away_the_rest_stay_connected_and_it_returns() {
    if !is_root() {
        return;
    }
    let router = Host::new();
    router.run(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    let mut servers: Vec<_> = (0..SERVERS).map(|number| Server::at(&router, number)).collect();
    (0..SERVERS).for_each(|number| switch_on(&mut servers, number));
    assert_eq!(pairs(&servers).len(), 15);
    pairs(&servers).iter().for_each(|(one, other)| one.reaches(other));

    for lost in 0..SERVERS {
        servers[lost].tunnel = None;
        let left = pairs(&servers);
        assert_eq!(left.len(), 10);
        assert!(!left[0].0.host.ping(&servers[lost].inside(), &[]), "{lost} was not taken away");
        left.iter().for_each(|(one, other)| one.reaches(other));

        switch_on(&mut servers, lost);
        let returned = &servers[lost];
        for other in servers.iter().filter(|other| other.number != lost) {
            returned.reaches(other);
            other.reaches(returned);
        }
    }
}
