//! The programs that are measured, and one of them running.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::line::{End, Line, succeed};
use crate::idle::Reading;

/// What all of them are told; wireguard-go's own default, and right for a line of 1,500 bytes.
const MTU_BYTES: &str = "1420";
const PORT: &str = "51820";
/// Beside the one at the other end: six servers are five peers.
const IDLE_PEERS: u8 = 4;
const START_LIMIT: Duration = Duration::from_secs(10);

/// A program that makes a WireGuard interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `sb-wireguard`, as its example `interface` runs it.
    Ours,
    /// boringtun-cli of crates.io.
    Boringtun,
    /// The distribution's package.
    WireguardGo,
}

/// One of them at one end of the line; ended when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    end: End,
}

impl Program {
    pub const ALL: [Self; 3] = [Self::Ours, Self::Boringtun, Self::WireguardGo];

    /// The word in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Boringtun => "boringtun-cli",
            Self::WireguardGo => "wireguard-go",
        }
    }

    fn command(self, line: &Line, end: End) -> anyhow::Result<Command> {
        let mut command = match self {
            Self::Ours => line.command(end, own_program()?),
            Self::Boringtun => {
                let mut command = line.command(end, "boringtun-cli");
                command.args(["--foreground", "--disable-drop-privileges"]);
                command
            }
            Self::WireguardGo => {
                let mut command = line.command(end, "wireguard-go");
                command.arg("--foreground");
                command
            }
        };
        command.arg(end.name());
        Ok(command)
    }
}

impl Daemon {
    /// Starts it and waits for its control socket.
    pub fn start(line: &Line, program: Program, end: End) -> anyhow::Result<Self> {
        let mut command = program.command(line, end)?;
        // The example ends with its standard input, which this process holds open.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {}", program.as_str()))?;
        let daemon = Self { child, end };
        let began = Instant::now();
        while succeed(Command::new("wg").args(["show", end.name()])).is_err() {
            anyhow::ensure!(began.elapsed() < START_LIMIT, "{} does not answer `wg`", program.as_str());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }

    /// Has it know its peers, and gives its interface an address.
    pub fn configure(&self, keys: &Keys) -> anyhow::Result<()> {
        let (name, other) = (self.end.name(), self.end.other());
        let mut wg = Command::new("wg");
        wg.args(["set", name, "listen-port", PORT, "private-key"]).arg(keys.file(self.end));
        wg.args(["peer", &keys.public(other)?, "endpoint", &format!("{}:{PORT}", other.outside())]);
        wg.args(["allowed-ips", &format!("{}/32", other.inside())]);
        succeed(&mut wg)?;
        for nth in 0..IDLE_PEERS {
            let address = format!("10.9.1.{nth}/32");
            succeed(Command::new("wg").args([
                "set",
                name,
                "peer",
                &keys.stranger()?,
                "allowed-ips",
                &address,
            ]))?;
        }
        let address = format!("{}/24", self.end.inside());
        succeed(Command::new("ip").args(["-n", name, "addr", "add", &address, "dev", name]))?;
        succeed(Command::new("ip").args(["-n", name, "link", "set", name, "mtu", MTU_BYTES, "up"]))?;
        Ok(())
    }

    /// What it has used so far.
    pub fn usage(&self) -> anyhow::Result<Reading> {
        Reading::of(i32::try_from(self.child.id())?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(format!("/run/wireguard/{}.sock", self.end.name()));
    }
}

/// Key pairs of both ends, in files that only root reads.
#[derive(Debug)]
pub struct Keys {
    directory: PathBuf,
}

impl Keys {
    pub fn make() -> anyhow::Result<Self> {
        let keys = Self { directory: PathBuf::from("/run/bench-keys") };
        fs::create_dir_all(&keys.directory)?;
        fs::set_permissions(&keys.directory, fs::Permissions::from_mode(0o700))?;
        for end in End::BOTH {
            fs::write(keys.file(end), succeed(Command::new("wg").arg("genkey"))?)?;
        }
        Ok(keys)
    }

    fn file(&self, end: End) -> PathBuf {
        self.directory.join(end.name())
    }

    fn public(&self, end: End) -> anyhow::Result<String> {
        public_of(&self.file(end))
    }

    fn stranger(&self) -> anyhow::Result<String> {
        let file = self.directory.join("stranger");
        fs::write(&file, succeed(Command::new("wg").arg("genkey"))?)?;
        public_of(&file)
    }
}

fn public_of(file: &Path) -> anyhow::Result<String> {
    let done = Command::new("wg").arg("pubkey").stdin(fs::File::open(file)?).output()?;
    anyhow::ensure!(done.status.success(), "`wg pubkey` failed");
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

/// Cargo puts a package's examples beside the programs.
fn own_program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("a program is in a directory")?.join("examples/interface");
    anyhow::ensure!(path.exists(), "`{}` is not built", path.display());
    Ok(path)
}
