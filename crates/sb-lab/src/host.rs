//! One virtual server: its namespace, its directories, its programs, and what has happened to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::Signal;

use crate::brake::Brake;
use crate::disk::Disk;
use crate::fault::Part;
use crate::namespace::NetworkNamespace;
use crate::network::Links;
use crate::place::Place;
use crate::processes;
use crate::unit::{Order, Program, Unit};

/// Whether a host has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// Not switched on, or lost.
    Off,
    /// As it should be.
    On,
    /// Stopped like a paused virtual machine.
    Frozen,
}

/// Where a server's files are.
#[derive(Debug, Clone)]
pub struct Directories {
    /// The four documents.
    pub config: PathBuf,
    /// Identity, store, data directory.
    pub state: PathBuf,
    /// Sockets. Its path is short: a Unix socket's has at most 107 bytes.
    pub run: PathBuf,
    /// What its programs print.
    pub log: PathBuf,
}

impl Directories {
    /// The directories of a server under the lab's root.
    #[must_use]
    pub fn under(root: &Path, place: Place) -> Self {
        let home = root.join(place.name());
        Self {
            config: home.join("config"),
            state: home.join("state"),
            run: home.join("run"),
            log: home.join("log"),
        }
    }

    /// Makes them.
    ///
    /// # Errors
    /// When a file system is full or read-only.
    pub fn create(&self) -> io::Result<()> {
        [&self.config, &self.state, &self.run, &self.log].into_iter().try_for_each(fs::create_dir_all)
    }
}

/// One virtual server.
#[derive(Debug)]
pub struct Host {
    place: Place,
    directories: Directories,
    namespace: u64,
    links: Links,
    units: Vec<Unit>,
    power: Mutex<Power>,
    trouble: Option<Trouble>,
}

/// What can be done to a host's disk.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// The disk under its state.
    pub disk: Disk,
    /// What slows its programs' syncs down.
    pub brake: Brake,
    /// What slows those of its member of etcd down.
    pub etcd_brake: Brake,
    /// The agent's program, under another name.
    pub other_agent: PathBuf,
}

impl Host {
    /// A server without power, with these programs.
    ///
    /// # Errors
    /// When a program cannot be put under supervision.
    pub fn new(
        place: Place,
        directories: Directories,
        namespace: &NetworkNamespace,
        links: Links,
        programs: Vec<Program>,
    ) -> io::Result<Self> {
        let units =
            programs.into_iter().map(|program| Unit::new(program, namespace)).collect::<io::Result<_>>()?;
        Ok(Self {
            place,
            directories,
            namespace: namespace.inode(),
            links,
            units,
            power: Mutex::new(Power::Off),
            trouble: None,
        })
    }

    /// The same server with a disk that can be made full and slow, and an agent that can be replaced.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Trouble) -> Self {
        self.trouble = Some(trouble);
        self
    }

    /// What can be done to its disk, where it has one of its own.
    #[must_use]
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Which server it is.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where its files are.
    #[must_use]
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// Whether it has power.
    #[must_use]
    pub fn power(&self) -> Power {
        *self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often its programs have ended, by whatever hand.
    #[must_use]
    pub fn programs_ended(&self) -> u32 {
        self.units.iter().map(Unit::ended).sum()
    }

    /// Its processes.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn processes(&self) -> io::Result<Vec<processes::HostProcess>> {
        processes::of_namespace(self.namespace)
    }

    /// Gives it power: it can be reached, and its programs are started.
    pub fn switch_on(&self) {
        self.links.light(self.place);
        self.set_power(Power::On);
        for unit in &self.units {
            unit.order(Order::Run);
        }
    }

    /// Takes its power: nobody hears from it any more, not even that its connections are closed; then everything
    /// on it is killed.
    ///
    /// # Errors
    /// When processes survive SIGKILL.
    pub fn lose_power(&self) -> io::Result<()> {
        self.links.darken(self.place);
        self.set_power(Power::Off);
        for unit in &self.units {
            unit.order(Order::Rest);
        }
        processes::kill_all(self.namespace)
    }

    /// Kills one part; the supervision starts it again. Returns how many processes that was.
    ///
    /// # Errors
    /// When a process may not be signalled.
    pub fn kill(&self, part: Part) -> io::Result<usize> {
        processes::signal_part(self.namespace, part, Signal::SIGKILL)
    }

    /// Kills one part for good, as when its unit is masked: nobody starts it again before the host is switched on
    /// anew. Returns how many processes that was.
    ///
    /// # Errors
    /// When a process may not be signalled.
    pub fn take_away(&self, part: Part) -> io::Result<usize> {
        let name = match part {
            Part::Guard => "guard",
            Part::Agent => "agent",
            Part::Etcd => "etcd",
            // Neither is a unit of its own.
            Part::Host | Part::Postgres => return self.kill(part),
        };
        for unit in self.units.iter().filter(|unit| unit.name() == name) {
            unit.order(Order::Rest);
        }
        self.kill(part)
    }

    /// Stops one part, or the whole host like a paused virtual machine. Returns how many processes that was.
    ///
    /// # Errors
    /// When a process may not be signalled.
    pub fn freeze(&self, part: Part) -> io::Result<usize> {
        if part == Part::Host {
            self.links.darken(self.place);
            self.set_power(Power::Frozen);
        }
        let stopped = processes::signal_part(self.namespace, part, Signal::SIGSTOP)?;
        // What was forked while the list was read; what is stopped forks no more.
        processes::signal_part(self.namespace, part, Signal::SIGSTOP)?;
        Ok(stopped)
    }

    /// Ends the agent in order; it is started again from another file. Returns how many processes that was.
    ///
    /// # Errors
    /// When a process may not be signalled.
    pub fn upgrade(&self) -> io::Result<usize> {
        let Some(trouble) = &self.trouble else { return Ok(0) };
        if let Some(agent) = self.units.iter().find(|unit| unit.name() == "agent") {
            agent.replace(trouble.other_agent.clone());
        }
        processes::signal_part(self.namespace, Part::Agent, Signal::SIGTERM)
    }

    /// Lets everything that is stopped go on.
    ///
    /// # Errors
    /// When a process may not be signalled.
    pub fn thaw(&self) -> io::Result<()> {
        processes::signal_all(self.namespace, Signal::SIGCONT)?;
        if self.power() == Power::Frozen {
            self.links.light(self.place);
            self.set_power(Power::On);
        }
        Ok(())
    }

    fn set_power(&self, power: Power) {
        *self.power.lock().unwrap_or_else(PoisonError::into_inner) = power;
    }
}
