//! Health checks: the whole matrix over real sockets, and a real HAProxy that reads it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::FailsafePart;
use sb_node::http::{
    AgentCheckListener, Alive, Follows, Health, HealthListener, Kept, Lease, Postgres, Serves, WaitedFor,
    health_router,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fake::{FakeAgent, agent};

const HAPROXY: &str = "/usr/sbin/haproxy";

/// What HAProxy is given to see a change: its checks run every 100 ms.
const SEEN: Duration = Duration::from_secs(20);

/// One server's health port and agent check.
struct Ports {
    agent: Arc<FakeAgent>,
    health: SocketAddr,
    check: SocketAddr,
    _stop: DropGuard,
}

impl Ports {
    async fn open(health: Health) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let agent = agent();
        let stop = CancellationToken::new();
        let listener = HealthListener::bind(any).await.unwrap();
        let check = AgentCheckListener::bind(any).await.unwrap();
        let addresses = (listener.address().unwrap(), check.address().unwrap());
        tokio::spawn(listener.serve(health_router(agent.clone()), stop.clone()));
        tokio::spawn(check.serve(agent.clone(), stop.clone()));
        let ports = Self { agent, health: addresses.0, check: addresses.1, _stop: stop.drop_guard() };
        ports.become_(health);
        ports
    }

    fn become_(&self, health: Health) {
        *self.agent.health.lock().unwrap() = health;
    }

    async fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.health).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn status(&self, method: &str, path: &str) -> u16 {
        let answer = self.ask(&format!("{method} {path} HTTP/1.0\r\n\r\n")).await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

fn primary() -> Health {
    Health {
        alive: Alive::Yes,
        postgres: Postgres::Runs,
        serves: Serves::Writes,
        lease: Lease::Held,
        site: Some("ravena".parse().unwrap()),
        ..Health::default()
    }
}

fn standby(waited_for: WaitedFor, write_lag_bytes: Option<u64>, apply_lag_bytes: Option<u64>) -> Health {
    Health {
        alive: Alive::Yes,
        postgres: Postgres::Runs,
        serves: Serves::Reads,
        follows: Some(Follows { waited_for, write_lag_bytes, apply_lag_bytes }),
        site: Some("tucson".parse().unwrap()),
        ..Health::default()
    }
}

/// 1 where the answer is 200, by path: primary, synchronous standby, asynchronous standby, nothing.
const MATRIX: &[(&str, [u8; 4])] = &[
    ("/", [1, 0, 0, 0]),
    ("/primary", [1, 0, 0, 0]),
    ("/master", [1, 0, 0, 0]),
    ("/read-write", [1, 0, 0, 0]),
    ("/leader", [1, 0, 0, 0]),
    ("/standby-leader", [0, 0, 0, 0]),
    ("/standby_leader", [0, 0, 0, 0]),
    ("/replica", [0, 1, 1, 0]),
    ("/replica?lag=2MB", [0, 1, 0, 0]),
    ("/replica?lag=0", [0, 0, 0, 0]),
    ("/replica?lag=0&mode=write", [0, 1, 0, 0]),
    ("/replica?tag_site=tucson", [0, 1, 1, 0]),
    ("/replica?tag_site=ravena", [0, 0, 0, 0]),
    ("/replica?tag_clonefrom=true", [0, 0, 0, 0]),
    ("/read-only", [1, 1, 1, 0]),
    ("/read-only?lag=2MB", [1, 1, 0, 0]),
    ("/sync", [0, 1, 0, 0]),
    ("/synchronous", [0, 1, 0, 0]),
    ("/async", [0, 0, 1, 0]),
    ("/asynchronous", [0, 0, 1, 0]),
    ("/async?lag=5MB", [0, 0, 1, 0]),
    ("/async?lag=1MB", [0, 0, 0, 0]),
    ("/read-only-sync", [1, 1, 0, 0]),
    ("/quorum", [0, 1, 0, 0]),
    ("/read-only-quorum", [1, 1, 0, 0]),
    ("/health", [1, 1, 1, 0]),
    ("/liveness", [1, 1, 1, 0]),
    ("/readiness", [1, 1, 0, 0]),
    ("/readiness?lag=5MB", [1, 1, 1, 0]),
    ("/readiness?lag=0&mode=write", [1, 1, 0, 0]),
];

#[tokio::test]
async fn every_path_answers_by_role_with_any_method_and_without_a_host_header() {
    let ports = Ports::open(Health::default()).await;
    let roles = [
        primary(),
        standby(WaitedFor::Yes, Some(0), Some(4096)),
        standby(WaitedFor::No, Some(3 << 20), Some(4 << 20)),
        Health::default(),
    ];
    for (role, health) in roles.into_iter().enumerate() {
        ports.become_(health.clone());
        for (path, good) in MATRIX {
            let expected = if good[role] == 1 { 200 } else { 503 };
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert_eq!(ports.status(method, path).await, expected, "{method} {path} with {health:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_lag_that_is_not_known_is_beyond_every_limit() {
    let ports = Ports::open(standby(WaitedFor::No, None, None)).await;
    assert_eq!(ports.status("GET", "/replica").await, 200);
    assert_eq!(ports.status("GET", "/replica?lag=99GB").await, 503);
    assert_eq!(ports.status("GET", "/readiness").await, 503);
}

#[tokio::test]
async fn a_limit_that_cannot_be_read_is_never_no_limit() {
    let ports = Ports::open(standby(WaitedFor::No, Some(0), Some(0))).await;
    for query in ["lag=", "lag=ten", "lag=-1", "lag=1.5MB", "lag=1mb", "mode=flush"] {
        assert_eq!(ports.status("GET", &format!("/replica?{query}")).await, 400, "{query}");
    }
    let answer = ports.ask("GET /replica?lag=ten HTTP/1.0\r\n\r\n").await;
    assert!(answer.contains("`lag=ten` cannot be read"), "{answer}");
    for path in ["/primary/", "/Primary", "/v1/status", "/nothing"] {
        assert_eq!(ports.status("GET", path).await, 404, "{path}");
    }
}

#[tokio::test]
async fn a_lease_that_is_held_before_clients_are_let_in_is_leader_and_not_primary() {
    let ports = Ports::open(Health { lease: Lease::Held, ..Health::default() }).await;
    assert_eq!(ports.status("GET", "/leader").await, 200);
    assert_eq!(ports.status("GET", "/primary").await, 503);
}

#[tokio::test]
async fn an_answer_says_degraded_and_failsafe_without_another_status() {
    let failsafe = Some(FailsafePart::Holds);
    let ports = Ports::open(Health { promise: Kept::No, failsafe, ..primary() }).await;
    let answer = ports.ask("GET /primary HTTP/1.0\r\n\r\n").await;
    assert_eq!(answer.split(' ').nth(1), Some("200"), "{answer}");
    let body = r#"{"state":"running","role":"primary","degraded":true,"failsafe_mode_is_active":true}"#;
    assert!(answer.ends_with(body), "{answer}");
    let head = ports.ask("HEAD /primary HTTP/1.0\r\n\r\n").await;
    assert!(head.ends_with("\r\n\r\n"), "a HEAD has no body: {head}");
}

#[tokio::test]
async fn the_cluster_is_shown_as_patroni_shows_it() {
    let ports = Ports::open(primary()).await;
    let answer = ports.ask("GET /cluster HTTP/1.0\r\n\r\n").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let cluster: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(cluster["scope"], "show-build");
    assert!(cluster["members"].is_array(), "{cluster}");
    assert_eq!(ports.status("GET", "/history").await, 200);
}

/// A HAProxy of our own; it ends with this value.
struct HaProxy {
    process: Child,
    place: TempDir,
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl HaProxy {
    /// Patroni's sample configuration, with checks often enough for a test, and a backend that follows agent checks.
    fn start(servers: &[Ports]) -> Self {
        let place = TempDir::new().unwrap();
        let at = place.path().display();
        let mut primary = String::new();
        let mut agents = String::new();
        for (number, ports) in servers.iter().enumerate() {
            let (health, check) = (ports.health, ports.check.port());
            // PostgreSQL's port does not matter to the checks.
            primary += &format!(
                "    server s{number} 127.0.0.1:1 maxconn 100 check addr 127.0.0.1 port {}\n",
                health.port()
            );
            agents += &format!(
                "    server s{number} 127.0.0.1:1 check addr 127.0.0.1 port {} agent-check agent-port {check} \
                 agent-inter 100ms\n",
                health.port()
            );
        }
        let configuration = format!(
            "global\n    stats socket {at}/stats.sock mode 600 level admin\n\
             defaults\n    mode tcp\n    retries 2\n    timeout client 30m\n    timeout connect 4s\n    \
             timeout server 30m\n    timeout check 5s\n\
             listen primary\n    bind unix@{at}/primary.sock\n    option httpchk\n    http-check expect status 200\n    \
             default-server inter 100ms fall 3 rise 2 on-marked-down shutdown-sessions\n{primary}\
             listen agents\n    bind unix@{at}/agents.sock\n    option httpchk GET /health\n    \
             http-check expect status 200\n    \
             default-server inter 100ms fall 3 rise 2 on-marked-down shutdown-sessions\n{agents}"
        );
        let file = place.path().join("haproxy.cfg");
        std::fs::write(&file, configuration).unwrap();
        let checked = Command::new(HAPROXY).args(["-c", "-q", "-f"]).arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let process = Command::new(HAPROXY).args(["-db", "-q", "-f"]).arg(&file).spawn().unwrap();
        Self { process, place }
    }

    /// How HAProxy sees the servers of a backend, such as `UP` or `MAINT`.
    async fn seen(&self, backend: &str) -> Vec<String> {
        let mut table = String::new();
        if let Ok(mut stream) = UnixStream::connect(self.place.path().join("stats.sock")).await {
            stream.write_all(b"show stat\n").await.unwrap();
            stream.read_to_string(&mut table).await.unwrap();
        }
        let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let servers = rows.filter(|row| row[0] == backend && row[1].starts_with('s'));
        servers.map(|row| row[17].to_owned()).collect()
    }

    async fn until(&self, backend: &str, expected: &[&str]) {
        let begun = Instant::now();
        loop {
            let seen = self.seen(backend).await;
            // A state on its way is `UP 1/3`, or `DOWN (agent)`.
            let settled = seen
                .iter()
                .zip(expected)
                .all(|(seen, want)| seen == want || seen == &format!("{want} (agent)"));
            if settled && seen.len() == expected.len() {
                return;
            }
            assert!(begun.elapsed() < SEEN, "{backend}: {seen:?}, expected {expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_real_haproxy_has_exactly_the_primary_up_and_follows_a_failover() {
    assert!(Path::new(HAPROXY).exists(), "haproxy is not installed: ./run test installs it");
    let behind = || standby(WaitedFor::No, Some(0), Some(0));
    let servers = [Ports::open(primary()).await, Ports::open(behind()).await, Ports::open(behind()).await];
    let haproxy = HaProxy::start(&servers);
    haproxy.until("primary", &["UP", "DOWN", "DOWN"]).await;
    haproxy.until("agents", &["UP", "MAINT", "MAINT"]).await;

    servers[0].become_(Health::default());
    haproxy.until("primary", &["DOWN", "DOWN", "DOWN"]).await;
    servers[2].become_(primary());
    haproxy.until("primary", &["DOWN", "DOWN", "UP"]).await;
    haproxy.until("agents", &["DOWN", "MAINT", "UP"]).await;

    servers[0].become_(behind());
    haproxy.until("agents", &["MAINT", "MAINT", "UP"]).await;
    haproxy.until("primary", &["DOWN", "DOWN", "UP"]).await;
}
