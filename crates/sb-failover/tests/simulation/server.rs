//! One server: its clock, its guard, its agent, its disk.

use std::collections::VecDeque;
use std::time::Duration;

use sb_failover::record::Member;
use sb_failover::{
    Armed, BootTime, Command, Config, Event, Founding, GuardReport, Incarnation, Machine, OpId, Persisted,
    Processes, Role, Session, Term,
};
use sb_topology::{ServerName, SiteName};

use crate::postgres::Postgres;
use crate::profile::Profile;
use crate::tape::Tape;

#[derive(Debug)]
pub struct Guard {
    /// Its process exists and answers.
    pub there: bool,
    pub armed: Option<Armed>,
    /// Its deadline has passed and not everything is dead yet.
    pub killing: bool,
    pub highest: Term,
}

impl Guard {
    pub fn new() -> Self {
        Self { there: true, armed: None, killing: false, highest: Term::default() }
    }
}

/// An operation that a driver carries out.
#[derive(Clone, Debug)]
pub struct Running {
    pub op: OpId,
    pub command: Command,
}

#[derive(Debug)]
pub struct Server {
    pub name: ServerName,
    pub up: bool,
    /// It never comes back.
    pub lost: bool,
    /// The agent is stopped (SIGSTOP), the guard is not.
    pub frozen: bool,
    /// Nothing that this server proposes gets through.
    pub stalled: bool,
    /// Rises with every start of the agent: what belongs to an earlier one is not delivered.
    pub run: u64,
    pub machine: Machine,
    pub config: Config,
    pub persisted: Persisted,
    pub applied: usize,
    pub inbox: VecDeque<Event>,
    pub wake: Option<u64>,
    pub running: Option<Running>,
    pub guard: Guard,
    pub postgres: Postgres,
    /// What the machine is told, when somebody wants to play it again.
    pub tape: Option<Tape>,
    boot_ns: u64,
    base_ns: u64,
    ppm: i64,
}

impl Server {
    pub fn new(index: usize, site: usize, ppm: i64, profile: &Profile) -> Self {
        let name = name(index);
        let member = Member {
            incarnation: Incarnation::new(1),
            site: SiteName::new(format!("site{site}")).unwrap(),
            priority: u32::try_from(site).unwrap(),
            promotable: true,
            sync_eligible: profile.durability.is_synchronous(),
        };
        let founding = Founding::Founder {
            durability: profile.durability,
            number: usize::from(profile.durability.is_synchronous()),
            lag_bytes_max: sb_failover::record::LAG_BYTES_MAX_DEFAULT,
            automatic: sb_failover::record::Automatic::Allowed,
        };
        let config = Config {
            me: name.clone(),
            member,
            session: Session::new(1),
            founding: if index == 0 { founding } else { Founding::Joiner },
            timings: profile.timings.clone(),
        };
        let persisted = Persisted::default();
        let base_ns = 1_000_000_000 * (index as u64 + 1);
        let now = BootTime::since_boot(Duration::from_nanos(base_ns));
        let machine = Machine::new_mutated(config.clone(), persisted.clone(), now, profile.mutant);
        Self {
            name,
            up: true,
            lost: false,
            frozen: false,
            stalled: false,
            run: 1,
            machine,
            config,
            persisted,
            applied: 0,
            inbox: VecDeque::new(),
            wake: None,
            running: None,
            tape: None,
            guard: Guard::new(),
            postgres: Postgres::default(),
            boot_ns: 0,
            base_ns,
            ppm,
        }
    }

    /// This host's CLOCK_BOOTTIME at the simulation's time `now`.
    pub fn clock(&self, now: u64) -> BootTime {
        let elapsed = now - self.boot_ns;
        let shift = i128::from(elapsed) * i128::from(self.ppm) / 1_000_000;
        let own = i128::from(self.base_ns) + i128::from(elapsed) + shift;
        BootTime::since_boot(Duration::from_nanos(u64::try_from(own).unwrap()))
    }

    /// The first moment of the simulation at which the clock shows at least `at`.
    pub fn when(&self, at: BootTime) -> u64 {
        let at = i128::try_from(at.as_duration().as_nanos()).unwrap() - i128::from(self.base_ns);
        let elapsed = at.max(0) * 1_000_000 / (1_000_000 + i128::from(self.ppm)) + 1;
        self.boot_ns + u64::try_from(elapsed).unwrap()
    }

    /// Gives an event to the machine, and gives its commands.
    pub fn handle(&mut self, event: Event, clock: BootTime) -> Vec<Command> {
        if let Some(tape) = &mut self.tape {
            tape.event(self.run, &self.machine, &event, clock);
        }
        self.machine.handle(event, clock);
        let commands: Vec<_> = std::iter::from_fn(|| self.machine.poll_command()).collect();
        if let Some(tape) = &mut self.tape {
            tape.end(&self.machine, &commands);
        }
        commands
    }

    /// A new agent process. The guard and PostgreSQL stay as they are.
    pub fn restart_agent(&mut self, now: u64, profile: &Profile) {
        self.run += 1;
        self.config.session = self.config.session.next();
        self.frozen = false;
        self.inbox.clear();
        self.running = None;
        self.wake = None;
        let clock = self.clock(now);
        self.machine =
            Machine::new_mutated(self.config.clone(), self.persisted.clone(), clock, profile.mutant);
    }

    /// The host comes back: nothing but the disk is left.
    pub fn boot(&mut self, now: u64, profile: &Profile) {
        self.up = true;
        self.boot_ns = now;
        self.base_ns = 5_000_000_000;
        self.guard = Guard::new();
        self.restart_agent(now, profile);
    }

    pub fn crash(&mut self) {
        self.up = false;
        self.run += 1;
        self.running = None;
        self.inbox.clear();
        self.postgres.kill();
    }

    pub fn agent_runs(&self) -> bool {
        self.up && !self.frozen
    }

    pub fn is_primary(&self) -> bool {
        self.up && self.postgres.role == Role::Primary
    }

    pub fn guard_report(&self) -> GuardReport {
        let gone = self.postgres.role == Role::Stopped;
        let processes = if gone { Processes::Gone } else { Processes::Running };
        GuardReport { armed: self.guard.armed, processes }
    }
}

pub fn name(index: usize) -> ServerName {
    ServerName::new(format!("s{index}")).unwrap()
}

pub fn index(name: &ServerName) -> usize {
    name.as_str()[1..].parse().unwrap()
}
