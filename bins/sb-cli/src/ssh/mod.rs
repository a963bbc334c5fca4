//! The Unix socket of an agent on another host, forwarded by the system's own `ssh`.

mod trouble;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::exit::Exit;
use crate::failure::Failure;
use trouble::{Remote, Sight};

/// Longest time for ssh to log in and forward the socket, in seconds. A person may have to type a password.
const LOGIN_SECONDS_MAX: u64 = 60;

/// Longest time until a host says anything, in seconds. The system would try for more than two minutes.
const CONNECT_SECONDS_MAX: u64 = 10;

/// Longest wait for a first answer through the socket, and for a look at it, in seconds.
const LOOK_SECONDS_MAX: u64 = 10;

/// Pause between two looks at whether the socket is there.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Longest time for ssh to end after it was told to, in seconds.
const END_SECONDS_MAX: u64 = 2;

/// Anything that is answered at all; which answer does not matter.
const ANYBODY_THERE: &[u8] = b"HEAD / HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n";

/// The Unix socket of an agent on another host. The `ssh` that forwards it ends with [`Forward::close`], at the latest
/// with this process, however that ends.
pub struct Forward {
    remote: Remote,
    ssh: Child,
    /// Private to this user: whoever reaches the socket is root's equal on the other side.
    directory: TempDir,
}

impl Forward {
    /// Starts `ssh` and waits until somebody answers behind its end of the socket.
    pub async fn open(host: &str, socket: &Path) -> Result<Self, Failure> {
        if host.is_empty() || host.starts_with('-') {
            return Err(Failure::new(Exit::Usage, format!("`{host}` is no host for --ssh")));
        }
        if !socket.is_absolute() {
            let message = format!("`{}` is no absolute path of a socket on `{host}`", socket.display());
            return Err(Failure::new(Exit::Usage, message));
        }
        let directory = TempDir::with_prefix("sb-cli-")?;
        remove_when_interrupted(directory.path().to_owned())?;
        let remote = Remote { host: host.to_owned(), socket: socket.to_owned() };
        let ssh = start(&remote, directory.path())?;
        let mut forward = Self { remote, ssh, directory };
        match forward.reach().await {
            Ok(()) => Ok(forward),
            Err(failure) => {
                forward.end().await;
                Err(failure)
            }
        }
    }

    /// This end of the socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("agent.sock")
    }

    /// Ends ssh and takes the socket away. What failed meanwhile is told as something of the other host.
    pub async fn close<T>(mut self, asked: Result<T, Failure>) -> Result<T, Failure> {
        let ended = self.ssh.try_wait().ok().flatten();
        self.end().await;
        asked.map_err(|failure| match ended {
            Some(status) if failure.exit == Exit::Unreachable => self.remote.lost(status, &self.said()),
            _ => self.named(failure),
        })
    }

    /// This end of the socket means nothing to a person.
    fn named(&self, failure: Failure) -> Failure {
        let here = self.socket().display().to_string();
        Failure { message: failure.message.replace(&here, &self.remote.name()), ..failure }
    }

    async fn reach(&mut self) -> Result<(), Failure> {
        if let Some(status) = self.log_in().await? {
            return Err(self.remote.login_failed(status, &self.said()));
        }
        if self.hangs_up().await {
            return Err(self.remote.socket_failed(self.look().await));
        }
        Ok(())
    }

    /// Waits until ssh listens, or has ended.
    async fn log_in(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let end = Instant::now() + Duration::from_secs(LOGIN_SECONDS_MAX);
        loop {
            if UnixStream::connect(self.socket()).await.is_ok() {
                return Ok(None);
            }
            if let Some(status) = self.ssh.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Err(self.remote.login_took_too_long(LOGIN_SECONDS_MAX));
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Whether the other side ends a connection without a word. So it does where nobody can be reached at its end; an
    /// agent that only takes its time is left to the call that is made.
    async fn hangs_up(&self) -> bool {
        let ask = async {
            let mut stream = UnixStream::connect(self.socket()).await?;
            stream.write_all(ANYBODY_THERE).await?;
            stream.read_u8().await
        };
        matches!(timeout(Duration::from_secs(LOOK_SECONDS_MAX), ask).await, Ok(Err(_)))
    }

    /// Looks at the socket over there, as the user who logged in: sshd tells nobody but its own log why it could not
    /// connect.
    async fn look(&self) -> Sight {
        let mut ssh = Command::new("ssh");
        ssh.arg("-S").arg(self.directory.path().join(CONTROL));
        ssh.args(["-T", "-o", "RemoteCommand=none", "--", &self.remote.host]).arg(self.remote.question());
        ssh.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match timeout(Duration::from_secs(LOOK_SECONDS_MAX), ssh.output()).await {
            Ok(Ok(output)) => Sight::read(&String::from_utf8_lossy(&output.stdout)),
            Ok(Err(_)) | Err(_) => Sight::Unknown,
        }
    }

    /// What ssh said so far that was not for a person at the terminal at once.
    fn said(&self) -> String {
        let said = std::fs::read(self.directory.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&said).trim().replace('\r', "")
    }

    /// Has it tidy up and end; one that does not is killed.
    async fn end(&mut self) {
        let pid = self.ssh.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // Ended meanwhile is as good; it is still ours to wait for, so the number is no other's.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(Duration::from_secs(END_SECONDS_MAX), self.ssh.wait()).await.is_err() {
            let _ = self.ssh.kill().await;
        }
    }
}

/// Names in the directory, short since ssh adds to them and a socket's path has little room.
const LOG: &str = "log";
const CONTROL: &str = "c";

fn start(remote: &Remote, directory: &Path) -> Result<Child, Failure> {
    let forward = format!("{}:{}", directory.join("agent.sock").display(), remote.socket.display());
    let mut ssh = Command::new("ssh");
    // Questions and banners still go to the terminal, with `-E` only what it reports does not.
    ssh.args(["-N", "-T", "-E"]).arg(directory.join(LOG));
    // A connection of its own: one that is shared with others would outlive it, and the forwarded socket with it.
    ssh.arg("-M").arg("-S").arg(directory.join(CONTROL)).args(["-o", "ControlPersist=no"]);
    ssh.args(["-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=5"]);
    ssh.arg("-o").arg(format!("ConnectTimeout={CONNECT_SECONDS_MAX}"));
    ssh.arg("-L").arg(forward).args(["--", &remote.host]);
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    // SAFETY: between fork and exec only one system call is made. The thread whose end it waits for is the main one.
    unsafe { ssh.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?)) };
    ssh.spawn().map_err(|error| {
        Failure::new(Exit::Unreachable, "could not start `ssh`")
            .detail(error.to_string())
            .hint("--ssh needs the system's ssh: apt install openssh-client")
    })
}

/// A person's Ctrl-C ends this process wherever it is, also while it waits for an answer to a question.
fn remove_when_interrupted(directory: PathBuf) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let _ = std::fs::remove_dir_all(&directory);
            let _ = emulate_default_handler(signal);
        }
    })?;
    Ok(())
}
