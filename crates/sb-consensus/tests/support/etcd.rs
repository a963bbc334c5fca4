//! A real etcd on loopback, of three members: Debian's `etcd-server`.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sb_consensus::{EtcdConfig, EtcdEndpoint};
use tempfile::TempDir;

const MEMBERS: usize = 3;
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Three members; all end with this.
pub struct Etcd {
    dir: TempDir,
    ports: Vec<(u16, u16)>,
    members: Vec<Option<Child>>,
}

impl Etcd {
    /// Starts the members and waits until a quorum answers.
    pub async fn start() -> Self {
        let ports = free_ports(2 * MEMBERS).chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut etcd = Self { dir, ports, members: (0..MEMBERS).map(|_| None).collect() };
        for at in 0..MEMBERS {
            etcd.resume_process(at);
        }
        etcd.ready().await;
        etcd
    }

    /// Starts a member that does not run, on the data that it has.
    pub fn resume_process(&mut self, at: usize) {
        let name = |at: usize| format!("e{at}");
        let peer = |at: usize| format!("http://127.0.0.1:{}", self.ports[at].1);
        let members: Vec<String> = (0..MEMBERS).map(|at| format!("{}={}", name(at), peer(at))).collect();
        let log = self.dir.path().join(format!("{at}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new("etcd")
            .env_clear()
            .args(["--name", &name(at), "--data-dir"])
            .arg(self.data(at))
            .args(["--listen-client-urls", &self.url(at), "--advertise-client-urls", &self.url(at)])
            .args(["--listen-peer-urls", &peer(at), "--initial-advertise-peer-urls", &peer(at)])
            .args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500", "--logger", "zap"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let child = child.expect("these tests need etcd: apt-get install etcd-server (./run test does it)");
        self.members[at] = Some(child);
    }

    /// Kills a member at once.
    pub fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.members[at].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn freeze(&self, at: usize) {
        self.signal(at, Signal::SIGSTOP);
    }

    pub fn thaw(&self, at: usize) {
        self.signal(at, Signal::SIGCONT);
    }

    fn signal(&self, at: usize, signal: Signal) {
        let child = self.members[at].as_ref().expect("the member runs");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    }

    /// Which member leads now.
    pub async fn leader(&self) -> usize {
        let begun = Instant::now();
        loop {
            for at in 0..MEMBERS {
                let said = self.ask(at, "/v3/maintenance/status", "{}").await;
                let id = |key: &str| said.as_ref().and_then(|said| said.pointer(key).cloned());
                if id("/leader").is_some() && id("/leader") == id("/header/member_id") {
                    return at;
                }
            }
            assert!(begun.elapsed() < READY_WITHIN, "etcd has no leader");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Forgets every version but the newest.
    pub async fn compact(&self, at: usize) {
        let now = self.ask(at, "/v3/kv/range", r#"{"key":"YQ=="}"#).await.unwrap();
        let revision = now.pointer("/header/revision").unwrap();
        self.ask(at, "/v3/kv/compaction", &format!(r#"{{"revision":{revision},"physical":true}}"#))
            .await
            .unwrap();
    }

    /// One call to the gateway; none when it is not answered.
    pub async fn ask(&self, at: usize, path: &str, body: &str) -> Option<serde_json::Value> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let asked = async {
            let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.ports[at].0)).await.ok()?;
            let request = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok()?;
            let text = String::from_utf8(answer).ok()?;
            let (head, body) = text.split_once("\r\n\r\n")?;
            head.contains(" 200 ").then(|| serde_json::from_str(body).ok())?
        };
        tokio::time::timeout(Duration::from_secs(2), asked).await.ok()?
    }

    pub async fn ready(&self) {
        let begun = Instant::now();
        while self.ask(0, "/v3/kv/range", r#"{"key":"YQ=="}"#).await.is_none() {
            assert!(begun.elapsed() < READY_WITHIN, "etcd is not ready: {}", self.dir.path().display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn port(&self, at: usize) -> u16 {
        self.ports[at].0
    }

    fn url(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[at].0)
    }

    fn data(&self, at: usize) -> std::path::PathBuf {
        self.dir.path().join(format!("{at}"))
    }

    /// The configuration of a member of a group.
    pub fn config(&self, dir: &Path, name: &str) -> EtcdConfig {
        let endpoints = (0..MEMBERS).map(|at| self.url(at).parse::<EtcdEndpoint>().unwrap()).collect();
        EtcdConfig {
            cluster: "test".into(),
            dir: dir.to_path_buf(),
            name: name.into(),
            address: format!("{name}:1"),
            endpoints,
            tls: None,
            login: None,
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in self.members.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that were free a moment ago, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}
