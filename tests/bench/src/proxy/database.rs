//! PostgreSQL of this measurement alone, and pgbench.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::unistd::{User, geteuid};

use crate::peer::newest_postgresql;
use crate::statistics::median;

const PORT: u16 = 5432;
const START_LIMIT: Duration = Duration::from_secs(30);
const MICROSECONDS_A_MILLISECOND: f64 = 1_000.0;

/// A server with pgbench's tables; ended when dropped.
#[derive(Debug)]
pub struct Database {
    programs: PathBuf,
    postmaster: Child,
}

impl Database {
    /// Makes and starts it, and fills its tables.
    pub fn start(root: &Path, scale: u16) -> anyhow::Result<Self> {
        let programs = newest_postgresql()?;
        let home = root.join("bench-proxy");
        fs::create_dir_all(&home)?;
        if geteuid().is_root() {
            let user = User::from_name("postgres")?.context("there is no user `postgres`")?;
            nix::unistd::chown(&home, Some(user.uid), Some(user.gid))?;
        }
        let data = home.join("data");
        let mut initdb = as_postgres(&programs.join("initdb"));
        succeed(initdb.args(["-A", "trust", "-U", "bench", "-N", "-D"]).arg(&data))?;
        let mut postgres = as_postgres(&programs.join("postgres"));
        postgres.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        postgres.arg("-c").arg(format!("unix_socket_directories={}", home.display()));
        let postmaster = postgres.stderr(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let database = Self { programs, postmaster };
        let began = Instant::now();
        while succeed(database.pgbench(PORT).args(["-i", "-q", "-s", &scale.to_string()])).is_err() {
            anyhow::ensure!(began.elapsed() < START_LIMIT, "PostgreSQL does not take pgbench's tables");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(database)
    }

    /// Where it listens on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        PORT
    }

    /// Transactions a second of so many clients, over `port`.
    pub fn throughput(&self, port: u16, clients: u16, seconds: u16) -> anyhow::Result<f64> {
        let mut pgbench = self.pgbench(port);
        pgbench.args(["-n", "-S", "-M", "prepared", "-j", "2", "-c", &clients.to_string()]);
        let said = succeed(pgbench.args(["-T", &seconds.to_string()]))?;
        let line = said.lines().find_map(|line| line.strip_prefix("tps = ")).context("no tps")?;
        Ok(line.split(' ').next().context("no number")?.parse()?)
    }

    /// The middle latency of one client, in milliseconds, over `port`.
    pub fn latency(&self, root: &Path, port: u16, seconds: u16) -> anyhow::Result<f64> {
        let prefix = root.join("latency");
        let mut pgbench = self.pgbench(port);
        pgbench.args(["-n", "-S", "-M", "prepared", "-c", "1", "-l", "--sampling-rate", "0.2", "-T"]);
        pgbench.arg(seconds.to_string()).arg(format!("--log-prefix={}", prefix.display()));
        succeed(&mut pgbench)?;
        let mut times = Vec::new();
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if path.to_string_lossy().starts_with(&*prefix.to_string_lossy()) {
                let text = fs::read_to_string(&path)?;
                times.extend(text.lines().filter_map(|line| line.split(' ').nth(2)?.parse::<f64>().ok()));
                fs::remove_file(path)?;
            }
        }
        Ok(median(&times).context("pgbench logged nothing")? / MICROSECONDS_A_MILLISECOND)
    }

    fn pgbench(&self, port: u16) -> Command {
        let mut command = Command::new(self.programs.join("pgbench"));
        command.args(["-h", "127.0.0.1", "-U", "bench", "-p", &port.to_string()]);
        command.env("PGDATABASE", "postgres").env("PGSSLMODE", "disable");
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its data is not needed any more.
        let _ = Command::new("kill").args(["-QUIT", &self.postmaster.id().to_string()]).status();
        let _ = self.postmaster.wait();
    }
}

/// PostgreSQL does not run as root. setpriv replaces itself by the program, so that the process is the server's.
fn as_postgres(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{:?} failed: {said}", command.get_program());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
