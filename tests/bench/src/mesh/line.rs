//! Two network namespaces with a line between them.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::mount::{MsFlags, mount};

/// An end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Sends.
    Left,
    /// Receives.
    Right,
}

/// The line; it ends with the bench's namespaces.
#[derive(Debug)]
pub struct Line;

impl End {
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The namespace's name, and the interface's of its tunnel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Its address on the line.
    pub const fn outside(self) -> &'static str {
        match self {
            Self::Left => "192.0.2.1",
            Self::Right => "192.0.2.2",
        }
    }

    /// Its address in the tunnel.
    pub const fn inside(self) -> &'static str {
        match self {
            Self::Left => "10.9.0.1",
            Self::Right => "10.9.0.2",
        }
    }
}

impl Line {
    /// Makes it. Everybody's files below `/run` are hidden from here on, so that nothing is left there.
    pub fn lay() -> anyhow::Result<Self> {
        mount(Some("bench"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .context("cannot mount a directory of its own at /run")?;
        for end in End::BOTH {
            succeed(Command::new("ip").args(["netns", "add", end.name()]))?;
        }
        let (left, right) = (End::Left.name(), End::Right.name());
        succeed(
            Command::new("ip")
                .args(["link", "add", "line", "netns", left])
                .args(["type", "veth", "peer", "name", "line", "netns", right]),
        )?;
        for end in End::BOTH {
            let address = format!("{}/24", end.outside());
            succeed(Command::new("ip").args(["-n", end.name(), "addr", "add", &address, "dev", "line"]))?;
            succeed(Command::new("ip").args(["-n", end.name(), "link", "set", "line", "up"]))?;
        }
        Ok(Self)
    }

    /// A command that runs at one end.
    #[allow(clippy::unused_self, reason = "there is no end without a line")]
    pub fn command(&self, end: End, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", end.name())).arg("--").arg(program);
        command
    }
}

/// Runs a command to its end and answers what it wrote.
pub fn succeed(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "{command:?} failed: {}", said.trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
