//! Through the proxy to a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "this test needs little of it")]
#[path = "sockets/setup.rs"]
mod setup;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::unistd::{User, geteuid};
use sb_proxy::{Access, Leading, Limits, Target};
use setup::{Setup, free_address, within};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// A server of this test alone.
struct Postgres {
    postmaster: Child,
    target: Target,
    _directory: tempfile::TempDir,
}

impl Postgres {
    async fn start(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if geteuid().is_root() {
            let user = User::from_name("postgres").unwrap().unwrap();
            for path in [directory.path(), &data] {
                std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
            }
        }
        let made =
            program("initdb").args(["-A", "trust", "-U", "app", "-N", "-D"]).arg(&data).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let address = free_address().await;
        let mut postmaster = program("postgres");
        postmaster.arg("-D").arg(&data).args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]);
        postmaster.arg("-c").arg(format!("port={}", address.port()));
        postmaster.arg("-c").arg(format!("unix_socket_directories={}", directory.path().display()));
        let postmaster = postmaster.stderr(Stdio::null()).spawn().unwrap();
        Self { postmaster, target: Target::new(name, address), _directory: directory }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.postmaster.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
        let _ = self.postmaster.wait();
    }
}

/// A program of PostgreSQL's; its server does not run as root.
fn program(name: &str) -> Command {
    let mut command = Command::new(Path::new(PROGRAMS).join(name));
    if geteuid().is_root() {
        let user = User::from_name("postgres").unwrap().unwrap();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
    command
}

async fn psql(place: &str, statement: &str) -> Output {
    let port = place.rsplit(':').next().unwrap().to_owned();
    let psql = PathBuf::from(PROGRAMS).join("psql");
    let statement = statement.to_owned();
    let work = move || {
        let mut command = Command::new(psql);
        command.args([
            "-XAt",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "app",
            "-d",
            "postgres",
            "-c",
            &statement,
        ]);
        command.output().unwrap()
    };
    within(tokio::task::spawn_blocking(work)).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

async fn until_one(place: &str, question: &str) {
    let answered = async {
        while text(&psql(place, question).await) != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(answered).await;
}

#[tokio::test]
async fn a_client_of_postgresql_waits_for_its_server_works_on_it_and_is_cut_with_its_term() {
    let limits = Limits { retry_max: Duration::from_millis(50), ..Limits::default() };
    let setup = Setup::new(Access::ReadWrite, limits).await;
    let place = setup.numbers().place;
    let postgres = Postgres::start("one").await;
    let asking = tokio::spawn({
        let place = place.clone();
        async move { psql(&place, "select sum(n) from generate_series(1, 200000) n").await }
    });
    setup.until(|numbers| numbers.held == 1).await;
    // It listens before it lets anybody in: the word of a server comes after that.
    let direct = postgres.target.address.to_string();
    until_one(&direct, "select 1").await;
    setup.lead(1, &postgres.target);
    assert_eq!(text(&asking.await.unwrap()), "20000100000");

    let sleeping = tokio::spawn(async move { psql(&place, "select pg_sleep(60)").await });
    // A client that is still connecting would try again, and be held.
    until_one(&direct, "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'").await;
    setup.tell(2, Leading::Nobody);
    let cut = sleeping.await.unwrap();
    assert!(!cut.status.success());
    let said = String::from_utf8_lossy(&cut.stderr).to_string();
    assert!(said.contains("Connection reset by peer") || said.contains("closed the connection"), "{said}");
    setup.until(|numbers| numbers.cut == 1 && numbers.open == 0).await;
}
