//! What stands between a client and the server.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::idle::Reading;

/// Where a program listens.
pub const PORT: u16 = 6432;

const START_LIMIT: Duration = Duration::from_secs(10);

/// One way from a client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// None.
    Direct,
    /// `sb-proxy`, as its example `forward` runs it, with the threads that an agent gives it.
    Ours,
    /// The distribution's package, in TCP mode, with as many threads.
    Haproxy,
}

impl Program {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Ours, Self::Haproxy];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Ours => "ours",
            Self::Haproxy => "haproxy",
        }
    }
}

/// A program at work; ended when dropped.
#[derive(Debug)]
pub struct Forwarder {
    child: Child,
}

impl Forwarder {
    /// Starts it before the server at `port` and waits until it listens; nothing for the direct way.
    pub fn start(program: Program, root: &Path, port: u16) -> anyhow::Result<Option<Self>> {
        let mut command = match program {
            Program::Direct => return Ok(None),
            Program::Ours => {
                let mut command = Command::new(own_program()?);
                command.args([format!("127.0.0.1:{PORT}"), format!("127.0.0.1:{port}")]);
                command
            }
            Program::Haproxy => {
                let file = root.join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(port))?;
                let mut command = Command::new("/usr/sbin/haproxy");
                command.arg("-db").arg("-f").arg(file);
                command
            }
        };
        // The example ends with its standard input, which this process holds open.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", program.as_str()))?;
        let mut forwarder = Self { child };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
            let ended = forwarder.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "{} has ended: {ended:?}", program.as_str());
            anyhow::ensure!(began.elapsed() < START_LIMIT, "{} does not listen", program.as_str());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(forwarder))
    }

    /// What it has used so far.
    pub fn usage(&self) -> anyhow::Result<Reading> {
        Reading::of(i32::try_from(self.child.id())?)
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `clitcpka` and long times as a proxy for databases has them; otherwise its defaults.
fn haproxy_configuration(port: u16) -> String {
    format!(
        "global\n  nbthread 2\n  maxconn 20000\n\
         defaults\n  mode tcp\n  timeout connect 3s\n  timeout client 30m\n  timeout server 30m\n  \
         option clitcpka\n  option srvtcpka\n\
         listen postgres\n  bind 127.0.0.1:{PORT}\n  server one 127.0.0.1:{port}\n"
    )
}

fn own_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let directory = own.parent().context("this program is in no directory")?;
    let example = directory.join("examples").join("forward");
    anyhow::ensure!(example.exists(), "`{}` has not been built", example.display());
    Ok(example)
}

/// A new network namespace has a loopback that is down.
pub fn loopback_up() -> anyhow::Result<()> {
    let done = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    anyhow::ensure!(done.success(), "`ip link set lo up` failed");
    Ok(())
}
