//! A primary, a standby that copies and follows it, and the standby's promotion: on loopback, in a directory that is
//! removed at the end.
//!
//! ```text
//! cargo run -p sb-pgrepl --example promote
//! ```
//!
//! As root it runs PostgreSQL as the user `postgres`.
#![allow(clippy::print_stdout, reason = "an example talks to the person who runs it")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sb_pgrepl::{
    Application, ChildPostmaster, ClientAccess, CloneRequest, Desired, Instance, InstanceConfig, Observer,
    Postmaster, Programs, RunAs, Secret, Secrets, ShutdownMode, SlotName, SqlName, StartRole, TlsFiles,
    Upstream,
};
use sb_topology::ServerName;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOON: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = tempfile::Builder::new().prefix("sbx").tempdir()?;
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755))?;
    let authority = Authority::new()?;
    let ravena = instance(&authority, directory.path(), "ravena-1")?;
    let burlington = instance(&authority, directory.path(), "burlington-1")?;
    let (first, second) = (ChildPostmaster::new(), ChildPostmaster::new());

    let system_identifier = ravena.init_db().await?;
    let desired = desired();
    first.start(&ravena.prepare_start(&StartRole::Primary, &desired).await?).await?;
    ravena.wait_ready(SOON).await?;
    ravena.ensure_roles(&application()?).await?;
    ravena.reconcile_slots(std::slice::from_ref(&burlington.config().server)).await?;
    println!("`ravena-1` is primary of cluster {system_identifier}");

    let upstream = Upstream {
        server: ravena.config().server.clone(),
        address: LOOPBACK,
        port: ravena.config().port,
        slot: Some(SlotName::for_server(&burlington.config().server)),
    };
    let source = upstream.clone();
    burlington
        .clone_from(&CloneRequest { source, system_identifier, rate_kib_max: None, within: SOON })
        .await?;
    let role = StartRole::Standby(Some(upstream));
    second.start(&burlington.prepare_start(&role, &desired).await?).await?;
    burlington.wait_ready(SOON).await?;
    println!("`burlington-1` is a copy of it and follows it");

    first.stop(ShutdownMode::Fast, SOON).await?;
    let end = ravena.end_of_wal().await?;
    println!("`ravena-1` is shut down; its WAL ends at {}", end.flushed);

    let mut observer = Observer::new(burlington.clone());
    loop {
        let observation = observer.observe(SOON).await;
        let position = observation.status().and_then(|status| status.position.clone());
        if position.is_some_and(|position| position.contains(&end)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    burlington.freeze(SOON).await?;
    let begins = burlington.promote(2.try_into()?, SOON).await?;
    println!("`burlington-1` has all of it and is primary on timeline {}", begins.lineage.current());
    second.stop(ShutdownMode::Fast, SOON).await?;
    Ok(())
}

/// A certificate authority for the two.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "example CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    fn certify(&self, name: &str, home: &Path) -> anyhow::Result<TlsFiles> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let files = TlsFiles {
            ca: home.join("ca.pem"),
            certificate: home.join("server.pem"),
            key: home.join("server.key"),
        };
        std::fs::write(&files.ca, &self.pem)?;
        std::fs::write(&files.certificate, params.signed_by(&key, &self.issuer)?.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }
}

fn instance(authority: &Authority, parent: &Path, name: &str) -> anyhow::Result<Instance> {
    let home = parent.join(name);
    std::fs::create_dir(&home)?;
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755))?;
    Ok(Instance::new(InstanceConfig {
        server: ServerName::new(name)?,
        programs: Programs::find(None).context("PostgreSQL 15 or newer is needed")?,
        run_as: RunAs::for_this_process("postgres")?,
        data_dir: home.join("data"),
        run_dir: home.join("run"),
        log_dir: home.join("log"),
        parked_dir: home.join("parked"),
        port: TcpListener::bind((LOOPBACK, 0))?.local_addr()?.port(),
        tls: authority.certify(name, &home)?,
        secrets: Secrets {
            replicator: Secret::new("one"),
            rewind: Secret::new("two"),
            monitor: Secret::new("three"),
        },
    }))
}

fn desired() -> Desired {
    Desired {
        system_identifier: None,
        listen: vec![LOOPBACK],
        peers: vec![LOOPBACK],
        client_access: ClientAccess::Closed,
        client_rows: Vec::new(),
        settings: BTreeMap::from([("shared_buffers".to_owned(), "16MB".to_owned())]),
        slot_wal_mib_max: 256,
    }
}

fn application() -> anyhow::Result<Application> {
    Ok(Application {
        owner: SqlName::new("show_build")?,
        password: Secret::new("four"),
        database: SqlName::new("show_build")?,
    })
}
