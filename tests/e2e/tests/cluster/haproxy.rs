//! A real HAProxy in the office, with the configuration that `sb-cli dsn --format haproxy` writes: applications behind it
//! need to know one address.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use sb_lab::fault::{Fault, Part};
use sb_lab::options::Durability;
use sb_lab::place::Place;
use sb_lab::stage::Inside;
use sb_topology::{Access, DsnFormat, dsn, load_dir};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{Connection as _, Row as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::scene::{FAILOVER, Scene};

/// HAProxy's own port to the primary, as the configuration has it.
const PRIMARY: u16 = 5000;

/// One HAProxy; it ends with this value.
struct HaProxy {
    process: Child,
    statistics: PathBuf,
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl HaProxy {
    fn start(scene: &Scene) -> Self {
        let host = scene.lab().host(scene.primary()).expect("a server").directories();
        let documents = load_dir(&host.config).unwrap_or_else(|problems| panic!("{problems}"));
        let statistics = host.run.join("haproxy.sock");
        let configuration = format!(
            "global\n    stats socket {} mode 600\n{}",
            statistics.display(),
            dsn(&documents.topology, DsnFormat::Haproxy, Access::ReadWrite, None)
        );
        let file = host.run.join("haproxy.cfg");
        std::fs::write(&file, configuration).expect("a file");
        let started = scene.lab().network().namespace(Place::OFFICE).run_async(async move || begin(&file));
        let process = scene.wait_for(started).expect("a thread in the office").expect("haproxy starts");
        Self { process, statistics }
    }

    /// Who is up in the backend of the primary.
    async fn up(&self) -> Vec<String> {
        let mut table = String::new();
        let Ok(mut stream) = UnixStream::connect(&self.statistics).await else { return Vec::new() };
        if stream.write_all(b"show stat\n").await.is_err() || stream.read_to_string(&mut table).await.is_err()
        {
            return Vec::new();
        }
        let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let up = rows.filter(|row| row[0] == "primary" && row[1] != "FRONTEND" && row[1] != "BACKEND");
        up.filter(|row| row[17].starts_with("UP")).map(|row| row[1].to_owned()).collect()
    }

    fn until_it_has_exactly(&self, scene: &Scene, place: Place) {
        let what = format!("HAProxy had exactly `{place}` up");
        scene.until(&what, FAILOVER, |_| scene.wait_for(self.up()) == [place.to_string()]);
    }
}

fn begin(file: &Path) -> std::io::Result<Child> {
    Command::new("/usr/sbin/haproxy").args(["-db", "-q", "-f"]).arg(file).spawn()
}

/// Writes through HAProxy, and says which server did it.
fn written_by(scene: &Scene) -> IpAddr {
    let work = async |access: sb_lab::recorder::Access| {
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(PRIMARY)
            .database(&access.database)
            .username(&access.username)
            .password(&access.password)
            .ssl_mode(PgSslMode::Require);
        let mut session = PgConnection::connect_with(&options).await?;
        sqlx::query("create table if not exists behind_haproxy ()").execute(&mut session).await?;
        sqlx::query("insert into behind_haproxy default values").execute(&mut session).await?;
        let row = sqlx::query("select host(inet_server_addr())").fetch_one(&mut session).await?;
        Ok::<String, sqlx::Error>(row.get(0))
    };
    let address = scene.wait_for(scene.lab().client(Place::OFFICE, work)).expect("a thread in the office");
    address.expect("a write through HAProxy").parse().expect("an address")
}

pub fn leads_to_the_primary(inside: &Inside) {
    Scene::shared(inside, "haproxy", Durability::Async, |scene| {
        let haproxy = HaProxy::start(scene);
        let old = scene.primary();
        haproxy.until_it_has_exactly(scene, old);
        assert_eq!(written_by(scene), IpAddr::from(old.address()));

        scene.act(&Fault::Kill(old.into(), Part::Host));
        scene.until("another server was primary", FAILOVER, |picture| {
            picture.primary().is_some_and(|server| server.place != old)
        });
        let new = scene.primary();
        haproxy.until_it_has_exactly(scene, new);
        assert_eq!(written_by(scene), IpAddr::from(new.address()));
        scene.return_host(old);
    });
}
