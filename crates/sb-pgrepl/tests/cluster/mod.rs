//! Real PostgreSQL servers on loopback in a directory of their own, ended and removed also when a test fails.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sb_pgrepl::{
    Application, ChildPostmaster, ClientAccess, CloneRequest, Desired, Instance, InstanceConfig, Observation,
    Observer, Postmaster, Programs, RunAs, Secret, Secrets, ShutdownMode, SlotName, SqlName, StartRole,
    Status, TlsFiles, Upstream,
};
use sb_pgtypes::{Position, SystemIdentifier};
use sb_topology::ServerName;

/// Limit of everything that should take a moment.
pub const SOON: Duration = Duration::from_secs(30);

/// A directory with a certificate authority, for the servers of one test.
pub struct Cluster {
    directory: tempfile::TempDir,
    ca: Issuer<'static, KeyPair>,
    ca_pem: String,
}

/// One server of it.
pub struct Server {
    pub postmaster: ChildPostmaster,
    pub instance: Instance,
    pub name: ServerName,
}

impl Cluster {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("sbr").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "cluster CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Self { directory, ca: Issuer::new(params, key), ca_pem }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A server without data yet.
    pub fn server(&self, name: &str) -> Server {
        self.server_with_data_in(name, &self.path().join(name))
    }

    pub fn server_with_data_in(&self, name: &str, data_parent: &Path) -> Server {
        let home = self.path().join(name);
        for directory in [home.as_path(), data_parent] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let config = InstanceConfig {
            server: ServerName::new(name).unwrap(),
            programs: Programs::find(None).unwrap(),
            run_as: RunAs::for_this_process("postgres").unwrap(),
            data_dir: data_parent.join("data"),
            run_dir: home.join("run"),
            log_dir: home.join("log"),
            parked_dir: data_parent.join("parked"),
            port: sb_testnet::ports(1)[0],
            tls: self.certificate(name, &home),
            secrets: Secrets {
                replicator: Secret::new("replicator's: \\ ' word"),
                rewind: Secret::new("rewind's word"),
                monitor: Secret::new("monitor's word"),
            },
        };
        let name = config.server.clone();
        Server { postmaster: ChildPostmaster::new(), instance: Instance::new(config), name }
    }

    fn certificate(&self, name: &str, home: &Path) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        // OpenSSL takes a certificate with its issuer's name for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let write = |file: &str, text: &str| {
            std::fs::write(home.join(file), text).unwrap();
            home.join(file)
        };
        TlsFiles {
            ca: write("ca.pem", &self.ca_pem),
            certificate: write("server.pem", &certificate.pem()),
            key: write("server.key", &key.serialize_pem()),
        }
    }

    /// A primary with roles, a table, and slots for `others`.
    pub async fn primary(&self, name: &str, others: &[&Server]) -> Server {
        let server = self.server(name);
        server.instance.init_db().await.unwrap();
        server.start(&StartRole::Primary).await;
        server.instance.ensure_roles(&application()).await.unwrap();
        let members: Vec<_> = others.iter().map(|other| other.name.clone()).collect();
        server.instance.reconcile_slots(&members).await.unwrap();
        server.sql("CREATE TABLE marks (n int)");
        server
    }

    /// Lets `standby` copy `primary` and stream from it.
    pub async fn join(&self, standby: &Server, primary: &Server) {
        let upstream = primary.upstream_for(standby);
        standby.instance.clone_from(&primary.clone_request(standby).await).await.unwrap();
        standby.start(&StartRole::Standby(Some(upstream))).await;
        standby.streams_from(primary).await;
    }
}

pub fn application() -> Application {
    let name = |text| SqlName::new(text).unwrap();
    Application { owner: name("show_build"), password: Secret::new("secret"), database: name("show-build") }
}

/// Everything small, nothing less durable.
pub fn desired() -> Desired {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let small = [
        ("shared_buffers", "16MB"),
        ("max_wal_size", "64MB"),
        ("min_wal_size", "32MB"),
        ("wal_keep_size", "0"),
        ("logging_collector", "off"),
    ];
    Desired {
        system_identifier: None,
        listen: vec![loopback],
        peers: vec![loopback],
        client_access: ClientAccess::Closed,
        client_rows: Vec::new(),
        settings: small.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        slot_wal_mib_max: 256,
    }
}

impl Server {
    pub async fn start(&self, role: &StartRole) {
        self.start_as(role, &desired()).await;
    }

    pub async fn start_as(&self, role: &StartRole, desired: &Desired) {
        let spec = self.instance.prepare_start(role, desired).await.unwrap();
        self.postmaster.start(&spec).await.unwrap();
        if let Err(error) = self.instance.wait_ready(SOON).await {
            panic!("{}: {error}\n{}", self.name, std::fs::read_to_string(spec.log_file).unwrap_or_default());
        }
    }

    pub async fn stop(&self, mode: ShutdownMode) {
        self.postmaster.stop(mode, SOON).await.unwrap();
    }

    /// Promotes it to this timeline.
    pub async fn promote(&self, timeline: u32) -> Position {
        self.instance.promote(timeline.try_into().unwrap(), SOON).await.unwrap()
    }

    pub fn upstream_for(&self, standby: &Server) -> Upstream {
        Upstream {
            server: self.name.clone(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: self.instance.config().port,
            slot: Some(SlotName::for_server(&standby.name)),
        }
    }

    pub async fn system_identifier(&self) -> SystemIdentifier {
        self.instance.control_data().await.unwrap().system_identifier
    }

    pub async fn clone_request(&self, standby: &Server) -> CloneRequest {
        CloneRequest {
            source: self.upstream_for(standby),
            system_identifier: self.system_identifier().await,
            rate_kib_max: None,
            within: SOON,
        }
    }

    pub async fn observe(&self) -> Observation {
        Observer::new(self.instance.clone()).observe(SOON).await
    }

    pub async fn status(&self) -> Status {
        let observation = self.observe().await;
        observation.status().unwrap_or_else(|| panic!("{}: {observation:?}", self.name)).clone()
    }

    pub async fn streams_from(&self, primary: &Server) {
        let upstream = primary.name.as_str();
        eventually("the standby streams", || async {
            let status = self.status().await;
            status
                .receiver
                .is_some_and(|r| r.status == "streaming" && r.upstream.as_deref() == Some(upstream))
        })
        .await;
    }

    /// Waits until everything that is flushed here has been replayed there.
    pub async fn has_everything_of(&self, primary: &Server) {
        let flushed = primary.status().await.position.unwrap().flushed;
        eventually("the standby has replayed everything", || async {
            self.status().await.replayed.is_some_and(|replayed| replayed >= flushed)
        })
        .await;
    }

    /// psql as the superuser; its output without decoration.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.psql(sql).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        assert!(output.status.success(), "{}: {sql}: {}", self.name, text(&output.stderr));
        text(&output.stdout)
    }

    pub fn psql(&self, sql: &str) -> Command {
        let config = self.instance.config();
        let mut command = Command::new(config.programs.bin().join("psql"));
        command.args(["-XAtq", "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", sql]);
        command.arg("-h").arg(&config.run_dir).arg("-p").arg(config.port.to_string());
        command
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.instance.config().data_dir.join(name)
    }

    pub fn settings(&self) -> BTreeMap<String, String> {
        desired().settings
    }
}

/// Waits for a condition, with a limit.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + SOON;
    while !condition().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
