//! The words of `sb-cli demo` and `sb-cli lab`: arguments, and one call each. The only module that talks to a
//! terminal.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::options::{LabOptions, Scenario};

/// `sb-cli demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// What goes wrong
    #[arg(long, value_enum, default_value = "host-loss")]
    pub scenario: Scenario,
    /// Write the numbers as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How the sites are built
    #[command(flatten)]
    pub lab: LabOptions,
}

/// `sb-cli lab`
#[derive(Debug, Clone, clap::Args)]
pub struct LabArgs {
    /// What to do with it
    #[command(subcommand)]
    pub command: LabCommand,
}

/// The verbs of `sb-cli lab`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum LabCommand {
    /// Bring up five sites in the background
    Up(LabOptions),
    /// End the lab; nothing is left behind
    Down,
    /// Show servers, processes and links
    Status,
    /// Open a shell inside a server's network (`office` is where the clients sit)
    Shell {
        /// Server, or `office`
        server: String,
        /// A command instead of an interactive shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Drop everything from one server to another
    Cut {
        /// Server or site whose packets are dropped
        from: String,
        /// Server or site that does not get them
        to: String,
    },
    /// Drop everything between two servers
    CutBoth {
        /// Server or site
        a: String,
        /// Server or site
        b: String,
    },
    /// Cut a server or a site from everybody else
    Isolate {
        /// Server or site
        place: String,
    },
    /// Undo every cut
    Heal,
    /// Kill a part of a server, or its host: everything on it, and its network goes dark
    Kill {
        /// Server
        server: String,
        /// What to kill
        #[arg(value_enum, default_value = "host")]
        part: crate::fault::Part,
    },
    /// Stop a server like a paused virtual machine, or only its agent
    Freeze {
        /// Server
        server: String,
        /// What to stop
        #[arg(value_enum, default_value = "host")]
        part: crate::fault::Part,
    },
    /// Let a frozen server go on
    Thaw {
        /// Server
        server: String,
    },
    /// Switch a lost host on again
    Return {
        /// Server
        server: String,
    },
}

/// Runs `sb-cli demo`. Call it before any thread is started: it starts the program again, with the same
/// arguments, inside namespaces of its own.
#[must_use]
pub fn run_demo(_args: DemoArgs) -> ExitCode {
    ExitCode::FAILURE
}

/// Runs `sb-cli lab`. Call it before any thread is started, as [`run_demo`].
#[must_use]
pub fn run_lab(_args: LabArgs) -> ExitCode {
    ExitCode::FAILURE
}
