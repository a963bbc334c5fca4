//! The words of `sb-cli demo` and `sb-cli lab`: arguments, and one call each. The only module that talks to a
//! terminal.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line of the lab")]

mod background;
mod demo;
mod soak;
mod terminal;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::fault::{Fault, LossPercent, Part, Target};
use crate::layout::Layout;
use crate::options::{LabOptions, Scenario};
use crate::place::Place;

pub use background::run_lab;
pub use demo::run_demo;
pub use soak::{SoakArgs, SumArgs};

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

/// `sb-cli lab up`
#[derive(Debug, Clone, clap::Args)]
pub struct UpArgs {
    /// Which sites there are
    #[arg(long = "topology", value_enum, default_value = "five-sites")]
    pub layout: Layout,
    /// How they are built
    #[command(flatten)]
    pub lab: LabOptions,
}

impl UpArgs {
    fn options(&self) -> LabOptions {
        LabOptions { layout: self.layout, ..self.lab.clone() }
    }
}

/// The verbs of `sb-cli lab`. No argument is called `server`: programs have an option of that name for all verbs.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum LabCommand {
    /// Bring up sites in the background
    Up(UpArgs),
    /// Let faults rain on sites of its own for a while, and check every promise
    Soak(SoakArgs),
    /// Add the reports of several soaks up, as a table
    SoakSum(SumArgs),
    /// End the lab; nothing is left behind
    Down,
    /// Show servers and cut links
    Status,
    /// Open a shell inside a server's network (`office` is where the clients sit)
    Shell {
        /// Server, or `office`
        #[arg(value_name = "SERVER", value_parser = place)]
        place: Place,
        /// A command instead of an interactive shell
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Drop everything from one server or site to another
    Cut {
        /// Whose packets are dropped
        from: Target,
        /// Who does not get them
        to: Target,
    },
    /// Drop everything between two servers or sites
    CutBoth {
        /// Server or site
        a: Target,
        /// Server or site
        b: Target,
    },
    /// Cut a server or a site from all other servers
    Isolate {
        /// Server or site
        place: Target,
    },
    /// Drop what belongs to one TCP or UDP port between all servers
    CutPort {
        /// 7432 is what the agents say among themselves
        port: u16,
    },
    /// Lose packets between sites
    Lose {
        /// How many of a hundred; 0 ends it
        #[arg(value_name = "PERCENT")]
        share: LossPercent,
    },
    /// Undo every cut
    Heal,
    /// Kill a part of a server, or its host: everything on it, and its network goes dark
    Kill {
        /// Server or site
        #[arg(value_name = "SERVER|SITE")]
        place: Target,
        /// What to kill
        #[arg(value_enum, default_value = "host")]
        part: Part,
    },
    /// Stop a server like a paused virtual machine, or only a part of it
    Freeze {
        /// Server or site
        #[arg(value_name = "SERVER|SITE")]
        place: Target,
        /// What to stop
        #[arg(value_enum, default_value = "host")]
        part: Part,
    },
    /// Let what is frozen go on
    Thaw {
        /// Server or site
        #[arg(value_name = "SERVER|SITE")]
        place: Target,
    },
    /// Switch lost hosts on again
    Return {
        /// Server or site
        #[arg(value_name = "SERVER|SITE")]
        place: Target,
    },
}

impl LabCommand {
    /// The fault that a verb stands for; nothing for those that are none.
    fn fault(&self) -> Option<Fault> {
        Some(match self.clone() {
            Self::Up(_)
            | Self::Soak(_)
            | Self::SoakSum(_)
            | Self::Down
            | Self::Status
            | Self::Shell { .. } => return None,
            Self::Cut { from, to } => Fault::Cut(from, to),
            Self::CutBoth { a, b } => Fault::CutBoth(a, b),
            Self::Isolate { place } => Fault::Isolate(place),
            Self::CutPort { port } => Fault::CutPort(port),
            Self::Lose { share } => Fault::Lose(share),
            Self::Heal => Fault::Heal,
            Self::Kill { place, part } => Fault::Kill(place, part),
            Self::Freeze { place, part } => Fault::Freeze(place, part),
            Self::Thaw { place } => Fault::Thaw(place),
            Self::Return { place } => Fault::Return(place),
        })
    }
}

fn place(name: &str) -> Result<Place, String> {
    let names = || Place::all().map(Place::name).collect::<Vec<_>>().join(", ");
    Place::named(name).ok_or_else(|| format!("there is no server `{name}` in the lab; there are {}", names()))
}

/// Says what went wrong, why, and what to do, as all our programs do.
fn complain(error: &dyn Error, hint: Option<&str>) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        eprintln!("detail: {inner}");
        cause = inner.source();
    }
    if let Some(hint) = hint {
        eprintln!("hint: {}", hint.replace('\n', "\n      "));
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Words {
        /// As `sb-cli` has it, before any verb.
        #[arg(long, global = true)]
        server: Option<String>,
        #[command(flatten)]
        lab: LabArgs,
    }

    #[test]
    fn the_sites_of_a_lab_are_chosen_by_name() {
        let words = Words::try_parse_from(["lab", "up", "--topology", "two-sites"]).unwrap();
        let LabCommand::Up(up) = words.lab.command else { panic!("{words:?}") };
        assert_eq!(up.options().layout, Layout::TwoSites);
    }

    fn fault(words: &[&str]) -> Option<Fault> {
        Words::try_parse_from([&["lab"], words].concat()).unwrap().lab.command.fault()
    }

    #[test]
    fn the_verbs_stand_for_faults() {
        let target = |word: &str| word.parse::<Target>().unwrap();
        assert_eq!(
            fault(&["cut", "ravena-1", "tucson"]),
            Some(Fault::Cut(target("ravena-1"), target("tucson")))
        );
        assert_eq!(fault(&["kill", "ravena-1"]), Some(Fault::Kill(target("ravena-1"), Part::Host)));
        assert_eq!(
            fault(&["freeze", "ravena-1", "agent"]),
            Some(Fault::Freeze(target("ravena-1"), Part::Agent))
        );
        assert_eq!(fault(&["heal"]), Some(Fault::Heal));
        assert_eq!(fault(&["down"]), None);
    }

    #[test]
    fn a_shell_takes_its_command_as_it_is() {
        let words =
            Words::try_parse_from(["lab", "shell", "ravena-1", "--", "psql", "-c", "select 1"]).unwrap();
        let LabCommand::Shell { place, command } = words.lab.command else { panic!("{words:?}") };
        assert_eq!((place.name(), command.join(" ").as_str()), ("ravena-1", "psql -c select 1"));
    }

    #[test]
    fn an_unknown_server_is_a_usage_error() {
        let error = Words::try_parse_from(["lab", "kill", "ravina-1"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("there is no server or site `ravina-1` in the lab"), "{error}");
    }
}
