use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sb_client::PROBE_PORT;
use sb_topology::ServerName;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::circle::Circle;
use super::datagram::{DATAGRAM_BYTES_MAX, Probe, Token};
use super::finding::Findings;
use super::line::{Line, PROBE_MS};
use super::sessions::Sessions;
use super::window::WallClocks;
use crate::mesh::sights::Sights;

/// Pause before another try where the socket cannot be had, or fails, in milliseconds.
const AGAIN_MS: u64 = 5_000;

/// Asks every other server of the mesh again and again, and answers them.
pub(in crate::mesh) struct Prober {
    own: IpAddr,
    lines: BTreeMap<ServerName, Line>,
    names: BTreeMap<IpAddr, ServerName>,
    sessions: watch::Receiver<Sessions>,
    findings: watch::Sender<Findings>,
    sights: watch::Sender<Sights>,
}

impl Prober {
    /// A prober of the others in the circle. What it finds is told on `findings`, how the direct sessions are on `sights`.
    pub(in crate::mesh) fn new(
        circle: &Circle,
        sessions: watch::Receiver<Sessions>,
        findings: watch::Sender<Findings>,
        sights: watch::Sender<Sights>,
    ) -> Self {
        let now = Instant::now();
        let line = |(name, to): (&ServerName, &IpAddr)| (name.clone(), Line::new(*to, circle.mtu, now));
        let lines = circle.servers.iter().map(line).collect();
        let names = circle.servers.iter().map(|(name, address)| (*address, name.clone())).collect();
        Self { own: circle.own, lines, names, sessions, findings, sights }
    }

    /// Asks and answers until `stop`.
    pub(in crate::mesh) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.probe() => {}
        }
    }

    async fn probe(&mut self) {
        loop {
            let failed = match open(SocketAddr::new(self.own, PROBE_PORT)) {
                Ok(socket) => self.probe_with(&socket).await,
                Err(error) => error,
            };
            tracing::warn!(error = %failed, port = PROBE_PORT, "the mesh cannot be probed");
            tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
        }
    }

    /// Until the socket fails.
    async fn probe_with(&mut self, socket: &UdpSocket) -> io::Error {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
        let mut tells = tokio::time::interval(Duration::from_millis(PROBE_MS));
        tells.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self.ask(socket, Instant::now());
            tokio::select! {
                heard = socket.recv_from(&mut buffer) => match heard {
                    Ok((length, from)) => self.hear(socket, &buffer[..length], from, Instant::now()),
                    Err(error) => return error,
                },
                () = tokio::time::sleep_until(due.into()) => {}
                _ = tells.tick() => self.tell(Instant::now()),
            }
        }
    }

    /// Asks what is due; when something is due next.
    fn ask(&mut self, socket: &UdpSocket, now: Instant) -> Instant {
        let mut next = now + Duration::from_millis(PROBE_MS);
        for line in self.lines.values_mut() {
            for token in line.turn(now, rand::random) {
                send(socket, Probe::Question(token), SocketAddr::new(line.to(), PROBE_PORT));
            }
            next = next.min(line.due(now));
        }
        next
    }

    /// Who is no server of the mesh, or no prober, is not answered.
    fn hear(&mut self, socket: &UdpSocket, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some(name) = self.names.get(&from.ip()).filter(|_| from.port() == PROBE_PORT) else { return };
        match Probe::read(datagram) {
            Some(Probe::Question(token)) => send(socket, Probe::Answer(token, wall_us()), from),
            Some(Probe::Answer(token, theirs_us)) => self.answered(&name.clone(), token, theirs_us, now),
            None => {}
        }
    }

    fn answered(&mut self, name: &ServerName, token: Token, theirs_us: u64, now: Instant) {
        let clocks = WallClocks { theirs_us, ours_us: wall_us() };
        if let Some(line) = self.lines.get_mut(name) {
            line.answered(token, clocks, now);
        }
    }

    fn tell(&mut self, now: Instant) {
        let found = self.lines.iter().map(|(name, line)| (name.clone(), line.finding(now)));
        self.findings.send_replace(found.collect());
        let sessions = self.sessions.borrow().clone();
        let carried = self.lines.iter().filter_map(|(name, line)| {
            let (session, via) = (sessions.with(name)?, sessions.carrier(name)?);
            Some((name.clone(), (via.clone(), line.answered_at(session))))
        });
        let carried: BTreeMap<_, _> = carried.collect();
        let looks = self.lines.iter_mut().filter_map(|(name, line)| {
            let session = sessions.with(name)?;
            Some((name, line.look(session, now)?))
        });
        let looks: Vec<_> = looks.collect();
        self.sights.send_if_modified(|sights| {
            sights.note_relays(carried);
            let mut changed = false;
            for (name, state) in looks {
                changed |= sights.note(name, state, now);
            }
            changed
        });
    }
}

/// What cannot be sent is lost, as on the way: the line notices.
fn send(socket: &UdpSocket, probe: Probe, to: SocketAddr) {
    let Some(bytes) = probe.to_bytes() else { return };
    if let Err(error) = socket.try_send_to(&bytes, to) {
        tracing::debug!(%error, %to, length = bytes.len(), "a probe was not sent");
    }
}

/// A socket that sends no packet in pieces and believes nobody about the path, so that a size can be tried that the
/// route does not take any more.
pub(super) fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    match address {
        SocketAddr::V4(_) => sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?,
        SocketAddr::V6(_) => sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?,
    }
    UdpSocket::from_std(socket)
}

/// The time of day in microseconds since the Unix epoch, for people: nothing decides by it.
fn wall_us() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
}
