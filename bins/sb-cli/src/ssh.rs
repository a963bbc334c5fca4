use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::exit::Exit;
use crate::failure::Failure;

/// Longest time for ssh to log in and forward the socket, in seconds. A person may have to type a password.
const LOGIN_SECONDS_MAX: u64 = 60;

/// Pause between two looks at whether the socket is there.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Longest time for ssh to end after it was told to, in seconds.
const END_SECONDS_MAX: u64 = 2;

/// The Unix socket of an agent on another host, forwarded by an `ssh` that ends with this value.
pub struct Forward {
    socket: PathBuf,
    _ssh: Child,
    _directory: TempDir,
}

impl Forward {
    /// Starts `ssh` and waits until its end of the socket answers.
    pub async fn open(host: &str, remote: &Path) -> Result<Self, Failure> {
        if host.is_empty() || host.starts_with('-') {
            return Err(Failure::new(Exit::Usage, format!("`{host}` is no host for --ssh")));
        }
        // Private to this user: whoever reaches the socket is root's equal on the other side.
        let directory = TempDir::with_prefix("sb-cli-")?;
        let socket = directory.path().join("agent.sock");
        let mut ssh = Command::new("ssh")
            .args(["-N", "-T", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5"])
            .arg("-L")
            .arg(format!("{}:{}", socket.display(), remote.display()))
            .args(["--", host])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::new(Exit::Unreachable, "could not start `ssh`").detail(error.to_string())
            })?;
        wait_until_there(host, &socket, &mut ssh).await?;
        Ok(Self { socket, _ssh: ssh, _directory: directory })
    }

    /// This end of the socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

async fn wait_until_there(host: &str, socket: &Path, ssh: &mut Child) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(LOGIN_SECONDS_MAX);
    loop {
        if UnixStream::connect(socket).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = ssh.try_wait()? {
            return Err(Failure::new(Exit::Unreachable, format!("ssh could not reach `{host}`"))
                .detail(format!("It ended with {status}."))
                .hint(format!("Try: ssh {host} true")));
        }
        if Instant::now() >= end {
            let _ = timeout(Duration::from_secs(END_SECONDS_MAX), ssh.kill()).await;
            let message = format!("ssh did not reach `{host}` within {LOGIN_SECONDS_MAX} s");
            return Err(Failure::new(Exit::Unreachable, message));
        }
        sleep(LOOK_PAUSE).await;
    }
}
