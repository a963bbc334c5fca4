//! A real etcd on loopback, of three members: Debian's `etcd-server`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, SanType,
};
use sb_consensus::{EtcdConfig, EtcdEndpoint, EtcdTls};
use tempfile::TempDir;

const MEMBERS: usize = 3;
const READY_WITHIN: Duration = Duration::from_secs(30);
const LOG_LINES_SHOWN: usize = 20;

/// Three members; all end with this.
pub struct Etcd {
    dir: TempDir,
    ports: Vec<(u16, u16)>,
    members: Vec<Option<Child>>,
    trust: Option<Trust>,
}

/// Files of an authority and of two certificates by it, each for 127.0.0.1.
#[derive(Debug, Clone)]
pub struct Trust {
    pub authority: PathBuf,
    /// With a common name, as a member's has it.
    pub named: (PathBuf, PathBuf),
    /// Without: etcd's gateway takes no other of a client, where authentication is on.
    pub nameless: (PathBuf, PathBuf),
}

impl Trust {
    /// A new authority and its certificates.
    pub fn make(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certify = |name: Option<&str>| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            if let Some(name) = name {
                params.distinguished_name.push(DnType::CommonName, name);
            }
            params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
            // A member's gateway asks the member as a client, with the member's own certificate.
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            let file = |ending: &str| dir.join(format!("{}.{ending}", name.unwrap_or("nameless")));
            std::fs::write(file("pem"), certificate.pem()).unwrap();
            std::fs::write(file("key"), key.serialize_pem()).unwrap();
            (file("pem"), file("key"))
        };
        let (named, nameless) = (certify(Some("etcd")), certify(None));
        let file = dir.join("authority.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        Self { authority: file, named, nameless }
    }
}

impl Etcd {
    /// Starts the members and waits until a quorum answers.
    pub async fn start() -> Self {
        let ports = sb_testnet::ports(2 * MEMBERS).chunks(2).map(|pair| (pair[0], pair[1])).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut etcd = Self { dir, ports, members: (0..MEMBERS).map(|_| None).collect(), trust: None };
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
        let mut command = Command::new("etcd");
        if let Some(trust) = &self.trust {
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&trust.authority);
            command.arg("--cert-file").arg(&trust.named.0).arg("--key-file").arg(&trust.named.1);
        }
        let child = command
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

    /// Starts all members again, which from then on speak TLS only, and with nobody who shows no certificate.
    pub fn go_on_with_tls(&mut self) {
        self.trust = Some(Trust::make(self.dir.path()));
        (0..MEMBERS).for_each(|at| self.kill(at));
        (0..MEMBERS).for_each(|at| self.resume_process(at));
    }

    /// The certificates that it shows and takes.
    pub fn trust(&self) -> &Trust {
        self.trust.as_ref().expect("it speaks TLS")
    }

    /// Starts a member again, which forgets what is in memory only.
    pub fn restart(&mut self, at: usize) {
        self.kill(at);
        self.resume_process(at);
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

    pub async fn ready(&mut self) {
        let begun = Instant::now();
        while self.ask(0, "/v3/kv/range", r#"{"key":"YQ=="}"#).await.is_none() {
            for at in 0..MEMBERS {
                let ended = self.members[at].as_mut().and_then(|child| child.try_wait().unwrap());
                assert!(ended.is_none(), "etcd member {at} ended, {}:\n{}", ended.unwrap(), self.log(at));
            }
            assert!(begun.elapsed() < READY_WITHIN, "etcd is not ready:\n{}", self.log(0));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The last lines that a member wrote.
    fn log(&self, at: usize) -> String {
        let log = std::fs::read_to_string(self.dir.path().join(format!("{at}.log"))).unwrap();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    pub fn port(&self, at: usize) -> u16 {
        self.ports[at].0
    }

    fn url(&self, at: usize) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.ports[at].0)
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
            tls: self.trust.as_ref().map(|trust| EtcdTls {
                ca_file: trust.authority.clone(),
                client: Some(trust.nameless.clone()),
            }),
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
