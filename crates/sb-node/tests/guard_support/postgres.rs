//! A real PostgreSQL below a guard, and sessions to it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sb_node::guard::{BootNanos, Role, RunAs, StartSpec};

use super::until;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PORT: &str = "5432";

/// A fresh cluster in its own directory, reachable through a socket there.
pub struct Cluster {
    pub data_dir: PathBuf,
    sockets: PathBuf,
    run_as: Option<RunAs>,
}

impl Cluster {
    /// The server cannot run as root; as another user it runs as that.
    pub fn init(dir: &Path) -> Self {
        let run_as =
            nix::unistd::geteuid().is_root().then(|| RunAs::of_user("postgres").expect("a user postgres"));
        let home = dir.join("postgres");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(run_as) = &run_as {
            chown(&home, Some(run_as.uid), Some(run_as.gid)).unwrap();
        }
        let cluster = Self { data_dir: home.join("data"), sockets: home, run_as };
        let arguments = ["--no-sync", "-A", "trust", "-U", "sb", "-D", cluster.data_dir.to_str().unwrap()];
        let output = cluster.command("initdb", &arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster
    }

    pub fn spec(&self, role: Role) -> StartSpec {
        let signal_file = self.data_dir.join("standby.signal");
        match role {
            Role::Standby => fs::write(signal_file, "").unwrap(),
            Role::Writable { .. } => drop(fs::remove_file(signal_file)),
        }
        StartSpec {
            program: Path::new(PROGRAMS).join("postgres"),
            args: self.server_arguments(),
            env: vec![("LC_ALL".to_owned(), "C".to_owned())],
            data_dir: self.data_dir.clone(),
            log_file: Some(self.sockets.join("log")),
            run_as: self.run_as.clone(),
            role,
        }
    }

    /// A postmaster that no guard knows.
    pub fn spawn_unguarded(&self) -> Child {
        let arguments = self.server_arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let log = fs::File::create(self.sockets.join("unguarded.log")).unwrap();
        self.command("postgres", &arguments).stderr(log).spawn().unwrap()
    }

    /// Waits until it accepts connections.
    pub async fn accepts(&self) {
        until("PostgreSQL accepts connections", async || {
            let probe = Command::new(format!("{PROGRAMS}/pg_isready"))
                .args(["-q", "-h", self.sockets.to_str().unwrap(), "-p", PORT])
                .status();
            probe.unwrap().success().then_some(())
        })
        .await;
    }

    /// Opens a session.
    pub fn session(&self) -> Session {
        // At the first error it ends, and with it the session: an error has no line on standard output.
        let mut child = Command::new("psql")
            .args([
                "-X",
                "-At",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                self.sockets.to_str().unwrap(),
                "-p",
                PORT,
                "-U",
                "sb",
                "postgres",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Session { child, input, output }
    }

    fn server_arguments(&self) -> Vec<String> {
        let sockets = format!("unix_socket_directories={}", self.sockets.display());
        ["-D", self.data_dir.to_str().unwrap(), "-p", PORT, "-c", "listen_addresses=", "-c", &sockets]
            .iter()
            .chain(&["-c", "restart_after_crash=off", "-c", "shared_buffers=16MB"])
            .map(ToString::to_string)
            .collect()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let program = format!("{PROGRAMS}/{program}");
        let mut command = match &self.run_as {
            Some(RunAs { uid, gid, .. }) => {
                let mut command = Command::new("setpriv");
                let identity = [format!("--reuid={uid}"), format!("--regid={gid}")];
                command.args(identity).args(["--clear-groups", &program]);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// One session, held by `psql`.
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Sends one statement and returns the first line of its answer; `None` when the session is over.
    pub fn run(&mut self, statement: &str) -> Option<String> {
        self.send(statement)?;
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            Ok(0) | Err(_) => None,
        }
    }

    /// Sends one statement and does not wait.
    pub fn send(&mut self, statement: &str) -> Option<()> {
        writeln!(self.input, "{statement};").and_then(|()| self.input.flush()).ok()
    }

    /// Writes row after row until the session ends. Returns when each was acknowledged, one earlier one included.
    pub fn write_until_the_end(mut self, earlier: BootNanos) -> Vec<BootNanos> {
        let mut acknowledged = vec![earlier];
        while let Some(answer) = self.run("INSERT INTO written VALUES (default)") {
            assert_eq!(answer, "INSERT 0 1");
            acknowledged.push(BootNanos::now());
        }
        acknowledged
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
