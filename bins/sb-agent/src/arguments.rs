//! The command line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use sb_node::guard::GuardConfig;
use sb_node::replay::{Form, Shown};
use sb_node::{AgentConfig, Layout};

/// The agent of one server of a Show-Build cluster.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Arguments {
    /// What to be.
    #[command(subcommand)]
    pub command: Command,
}

/// Which of the processes to be.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decide and act: consensus, replication, failover, API.
    Run(Run),
    /// Be PostgreSQL's parent, and end it when the lease ends.
    Guard(Guard),
    /// Play a trace of the failover machine again, step by step.
    Replay(Replay),
    /// Print this server's WireGuard public key; its private key is made when there is none, and stays here.
    MeshKey(MeshKey),
    /// Bring a laptop into the mesh: the tunnel of a wg-quick file, until told to stop.
    Tunnel(Tunnel),
}

/// Options of the agent.
#[derive(Debug, Args)]
pub struct Run {
    /// Directory of the documents.
    #[arg(long, env = "SB_CONFIG_DIR", default_value = "/etc/show-build")]
    config_dir: PathBuf,
    /// Directory of what must survive a restart.
    #[arg(long, env = "SB_STATE_DIR", default_value = "/var/lib/show-build")]
    state_dir: PathBuf,
    /// Directory of the sockets.
    #[arg(long, env = "SB_RUN_DIR", default_value = "/run/show-build")]
    run_dir: PathBuf,
    /// User that PostgreSQL runs as when the agent is root.
    #[arg(long, default_value = "postgres")]
    postgres_user: String,
    /// PostgreSQL's `bin` directory, instead of the newest one found.
    #[arg(long, env = "SB_POSTGRES_BIN")]
    postgres_bin: Option<PathBuf>,
    /// A setting for PostgreSQL; may be given several times.
    #[arg(long = "postgres-setting", value_name = "NAME=VALUE", value_parser = setting)]
    postgres_settings: Vec<(String, String)>,
}

/// Options of the guard.
#[derive(Debug, Args)]
pub struct Guard {
    /// Directory of the sockets.
    #[arg(long, env = "SB_RUN_DIR", default_value = "/run/show-build")]
    run_dir: PathBuf,
    /// Directory of what must survive a restart; accepted so that both units can have the same options.
    #[arg(long, env = "SB_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// User, besides root and the guard's own, whose agent may command it.
    #[arg(long)]
    agent_uid: Option<u32>,
    /// A watchdog device that resets the machine when even the guard hangs.
    #[arg(long)]
    watchdog: Option<PathBuf>,
}

/// Options of printing a key.
#[derive(Debug, Args)]
pub struct MeshKey {
    /// Directory of the documents; the private key is its `.wireguard_private`.
    #[arg(long, env = "SB_CONFIG_DIR", default_value = "/etc/show-build")]
    pub config_dir: PathBuf,
}

/// Options of a tunnel.
#[derive(Debug, Args)]
pub struct Tunnel {
    /// A file of wg-quick; the interface has its name without the ending.
    pub file: PathBuf,
}

/// Options of a replay.
#[derive(Debug, Args)]
pub struct Replay {
    /// A segment, or the directory of a trace: `trace` in the agent's state directory.
    pub trace: PathBuf,
    /// Show steps from this moment on, such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Show steps up to this moment.
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// One JSON object a step, with everything in it.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Which steps to show, and how.
    pub fn shown(&self) -> (Shown, Form) {
        let form = if self.json { Form::Json } else { Form::Text };
        (Shown { from: self.from, until: self.until }, form)
    }
}

impl Run {
    /// For the agent.
    pub fn into_config(self) -> AgentConfig {
        AgentConfig {
            layout: Layout::new(self.config_dir, self.state_dir, self.run_dir),
            postgres_user: self.postgres_user,
            postgres_bin: self.postgres_bin,
            postgres_settings: BTreeMap::from_iter(self.postgres_settings),
        }
    }
}

impl Guard {
    /// For the guard.
    pub fn into_config(self) -> GuardConfig {
        let mut config = GuardConfig::new(self.run_dir);
        config.agent_uid = self.agent_uid;
        config.watchdog = self.watchdog;
        config
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
