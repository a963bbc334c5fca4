//! An sshd of a test's own: its host key, its users' keys and its configuration are in a directory that ends with it.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const SSHD: &str = "/usr/sbin/sshd";
const LIMIT: Duration = Duration::from_secs(20);
const PORT_TRIES_MAX: usize = 5;

/// As root it wants an empty directory at a fixed place, and `nobody` needs a shell; no other process shall see either.
const AS_ROOT: &str = r#"
    sed 's|^\(nobody:.*:\)[^:]*$|\1/bin/sh|' /etc/passwd > "$1/passwd" && mount --bind "$1/passwd" /etc/passwd &&
    mount -t tmpfs -o mode=0755 sshd /run && mkdir /run/sshd && shift && exec "$@"
"#;

/// The name under which the client's configuration knows it.
pub const HOST: &str = "burlington-1";

/// A running sshd on a loopback address, and the configuration of a client that knows it.
pub struct Sshd {
    place: TempDir,
    daemon: Child,
    port: u16,
}

impl Sshd {
    /// Starts one with these further lines of configuration; [`None`] where there is none to start.
    #[allow(clippy::print_stderr, reason = "a skipped test must say so")]
    pub fn start(more: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("SKIPPED: there is no `{SSHD}`; install openssh-server");
            return None;
        }
        let place = TempDir::new().unwrap();
        // sshd reads the keys of a user as that user.
        set_mode(place.path(), 0o711);
        for key in ["host", "laptop", "stranger"] {
            key_pair(&place.path().join(key));
        }
        fs::copy(place.path().join("laptop.pub"), place.path().join("authorized")).unwrap();
        for _ in 0..PORT_TRIES_MAX {
            if let Some((daemon, port)) = serve(place.path(), more) {
                let sshd = Self { place, daemon, port };
                sshd.known_as(&fs::read_to_string(sshd.path("host.pub")).unwrap());
                return Some(sshd);
            }
        }
        panic!("sshd does not listen: {}", fs::read_to_string(place.path().join("log")).unwrap());
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// From now on the client takes the server for the owner of this key, and of no other.
    pub fn known_as(&self, public_key: &str) {
        let line = format!("[127.0.0.1]:{} {public_key}", self.port);
        fs::write(self.path("known"), line).unwrap();
    }

    /// A directory with an `ssh` to be put before others in `PATH`: the real one, which knows nothing of whoever runs
    /// the test, but this server, this user and this key.
    pub fn client(&self, user: &str, key: &str) -> PathBuf {
        self.client_of(self.port, user, key)
    }

    /// The same, which takes another port for the server's.
    pub fn client_of(&self, port: u16, user: &str, key: &str) -> PathBuf {
        let configuration = format!(
            "Host {HOST}\n HostName 127.0.0.1\n Port {port}\n User {user}\n IdentityFile {}\n IdentitiesOnly yes\n \
             IdentityAgent none\n UserKnownHostsFile {}\n GlobalKnownHostsFile none\n StrictHostKeyChecking yes\n",
            self.path(key).display(),
            self.path("known").display()
        );
        fs::write(self.path("client"), configuration).unwrap();
        let directory = self.path("bin");
        fs::create_dir_all(&directory).unwrap();
        let program = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", self.path("client").display());
        install(&program, &directory.join("ssh"));
        directory
    }

    /// Leaves out of a text what is another one each time.
    pub fn without_places(&self, text: &str) -> String {
        let place = self.place.path().display().to_string();
        text.replace(&place, "PLACE").replace(&self.port.to_string(), "PORT")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Starts the daemon on a port that is free; [`None`] when somebody else took it first.
fn serve(place: &Path, more: &str) -> Option<(Child, u16)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {host}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile {authorized}\n{more}\n",
        host = place.join("host").display(),
        authorized = place.join("authorized").display()
    );
    let (file, log) = (place.join("sshd_config"), fs::File::create(place.join("log")).unwrap());
    fs::write(&file, configuration).unwrap();
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private", "sh", "-c", AS_ROOT, "sh"]).arg(place).arg(SSHD);
        command
    } else {
        Command::new(SSHD)
    };
    command.args(["-D", "-e", "-f"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut daemon = command.spawn().unwrap();
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if daemon.try_wait().unwrap().is_some() {
            return None;
        }
        assert!(began.elapsed() < LIMIT, "sshd does not listen within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Some((daemon, port))
}

fn key_pair(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).stdin(Stdio::null());
    assert!(keygen.status().unwrap().success());
}

/// Has another process write a program: what this one holds open for writing, its children of that moment hold too,
/// and what is open for writing cannot be run.
fn install(program: &str, path: &Path) {
    let mut install = Command::new("install");
    install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped());
    let mut install = install.spawn().unwrap();
    install.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success());
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}
