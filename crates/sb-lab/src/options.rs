//! What a person chooses for a lab: the words of the command line, as types.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use crate::layout::Layout;

/// What a commit waits for (design, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// A commit is on the primary's disk; the newest may be lost with the server.
    Async,
    /// A commit is on another server too; after 10 s without one they wait for nobody.
    Sync,
    /// A commit is on another server too; without one commits wait.
    Strict,
}

impl Durability {
    /// The word that `policy.json` uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Sync => "sync",
            Self::Strict => "strict",
        }
    }

    /// Whether the promise to clients covers the loss of the primary's host.
    #[must_use]
    pub fn survives_the_primary(self) -> bool {
        match self {
            Self::Async => false,
            Self::Sync | Self::Strict => true,
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which set of failover timings the servers are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Lease of 3.5 s.
    Default,
    /// Lease of 2.5 s.
    Fast,
}

impl Profile {
    /// The word that `policy.json` uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
        }
    }
}

/// Where the cluster keeps its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum StoreChoice {
    /// In the agents themselves.
    #[default]
    Raft,
    /// In an etcd of five members, one at each site.
    Etcd,
}

/// Whether a primary may go on without the store, by everybody's promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Failsafe {
    /// It ends with its lease.
    #[default]
    Off,
    /// It asks every server that could take over.
    On,
}

impl Failsafe {
    /// The word that `policy.json` uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// How the servers reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mesh {
    /// Their addresses are those of the wide-area network.
    Off,
    /// Through the agents' WireGuard: the wide-area network carries nothing but encrypted packets between public
    /// addresses.
    #[default]
    On,
}

/// The story that a demo tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The primary's host loses power.
    HostLoss,
    /// Every host of the primary's site does.
    SiteLoss,
    /// Only the primary's PostgreSQL is killed.
    PostgresCrash,
    /// The primary's site is cut from all others, and its servers go on running.
    Partition,
    /// A person moves the primary on purpose.
    Switchover,
}

impl Scenario {
    /// Every scenario, in the order of the documentation.
    pub const ALL: [Self; 5] =
        [Self::HostLoss, Self::SiteLoss, Self::PostgresCrash, Self::Partition, Self::Switchover];

    /// The word of the command line and of the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostLoss => "host-loss",
            Self::SiteLoss => "site-loss",
            Self::PostgresCrash => "postgres-crash",
            Self::Partition => "partition",
            Self::Switchover => "switchover",
        }
    }

    /// Whether no acknowledged write may be missing afterwards under this durability.
    ///
    /// The loss of a host or of the way to it may cost an asynchronous cluster its newest commits; a crash of
    /// PostgreSQL alone and a planned move may not.
    #[must_use]
    pub fn forbids_loss_with(self, durability: Durability) -> bool {
        match self {
            Self::PostgresCrash | Self::Switchover => true,
            Self::HostLoss | Self::SiteLoss | Self::Partition => durability.survives_the_primary(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where the servers' files live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// A file system in memory that only the lab's mount namespace knows: it vanishes with the lab, however
    /// that ends. About 1 GiB for six servers. Syncing a file costs nothing there.
    Memory,
    /// A new directory inside this one, for measurements on a real disk. It is removed at the end; when both the
    /// lab and its launcher are killed at once, the next lab with the same storage removes it.
    Disk(PathBuf),
}

impl FromStr for Storage {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "memory" { Self::Memory } else { Self::Disk(PathBuf::from(text)) })
    }
}

/// What the servers are equipped with, so that more can go wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Equipment {
    /// Disks as large as the lab's, which sync at once.
    #[default]
    Plain,
    /// A small disk each, which can be made full, under programs whose every sync can be slowed down.
    Disks,
}

/// Everything a lab is built from.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct LabOptions {
    /// What a commit waits for
    #[arg(long, value_enum, default_value = "sync")]
    pub durability: Durability,
    /// Failover timings
    #[arg(long, value_enum, default_value = "default")]
    pub profile: Profile,
    /// Where the cluster keeps its record: in the agents, or in an etcd of five members
    #[arg(long, value_enum, default_value = "raft")]
    pub store: StoreChoice,
    /// Whether a primary may go on while the store is away, by everybody's promise
    #[arg(long, value_enum, default_value = "off")]
    pub failsafe: Failsafe,
    /// Whether the servers reach each other through the agents' WireGuard
    #[arg(long, value_enum, default_value = "on")]
    pub mesh: Mesh,
    /// Where the servers' files live: `memory`, or a directory for measurements on a real disk
    #[arg(long, default_value = "memory", value_name = "memory|DIR")]
    pub storage: Storage,
    /// Where logs are kept when something goes wrong
    #[arg(long, default_value = "/tmp/show-build-lab-logs", value_name = "DIR")]
    pub logs: PathBuf,
    /// What the servers' disks can do wrong.
    #[arg(skip)]
    pub equipment: Equipment,
    /// Which machines are servers.
    #[arg(skip)]
    pub layout: Layout,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            profile: Profile::Default,
            store: StoreChoice::Raft,
            failsafe: Failsafe::Off,
            mesh: Mesh::On,
            storage: Storage::Memory,
            logs: PathBuf::from("/tmp/show-build-lab-logs"),
            equipment: Equipment::Plain,
            layout: Layout::FiveSites,
        }
    }
}
