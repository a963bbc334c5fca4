//! Three servers in memory lose their primary: prints what each machine wants done, with the time.
//!
//! `cargo run -p sb-failover --example election`

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sb_failover::record::{Automatic, Durability, Member};
use sb_failover::{
    BootTime, ClusterRecord, Command, Config, DataDirectory, Event, Founding, GuardReport, Incarnation,
    Machine, Observation, OpOutput, Persisted, Phase, Processes, ProposalResult, RenewalNumber, Request,
    Role, Session, Timings,
};
use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier};
use sb_topology::{ServerName, SiteName};

const DATA: SystemIdentifier = SystemIdentifier::new(1);

/// One server whose PostgreSQL does at once what it is told.
struct Server {
    machine: Machine,
    name: ServerName,
    guard: GuardReport,
    position: Position,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut record = founded_by_a_server_that_is_gone()?;
    let boot = BootTime::since_boot(Duration::from_secs(1_000));
    let mut servers = vec![server("burlington-1", 1_000, boot)?, server("montpelier-1", 1_200, boot)?];
    for server in &mut servers {
        let observation = server.observe(Role::Standby);
        server.machine.handle(Event::Guard(server.guard), boot);
        server.machine.handle(Event::Postgres(observation), boot);
    }
    // Nobody renews: ravena-1 is lost. Ten milliseconds at a time, for six seconds.
    for tick in 0..600 {
        let now = boot + Duration::from_millis(10 * tick);
        let known = Arc::new(record.clone());
        for server in &mut servers {
            server.machine.handle(Event::Record(Arc::clone(&known)), now);
            while let Some(command) = server.machine.poll_command() {
                server.carry_out(&command, &mut record, now, tick * 10)?;
            }
        }
    }
    Ok(())
}

fn founded_by_a_server_that_is_gone() -> Result<ClusterRecord, Box<dyn std::error::Error>> {
    let mut record = ClusterRecord::default();
    for (name, site, priority) in
        [("ravena-1", "ravena", 0), ("burlington-1", "burlington", 1), ("montpelier-1", "montpelier", 2)]
    {
        record
            .apply(&Request::Register { server: ServerName::new(name)?, member: member(site, priority)? })?;
    }
    record.apply(&Request::Initialize {
        by: ServerName::new("ravena-1")?,
        incarnation: Incarnation::new(1),
        system_identifier: DATA,
        lineage: Lineage::first(),
        renewal: RenewalNumber::default(),
        ttl_ms: 3_500,
        durability: Durability::Async,
        number: 0,
        lag_bytes_max: 1_048_576,
        automatic: Automatic::Allowed,
    })?;
    Ok(record)
}

fn member(site: &str, priority: u32) -> Result<Member, Box<dyn std::error::Error>> {
    let site = SiteName::new(site)?;
    Ok(Member { incarnation: Incarnation::new(1), site, priority, promotable: true, sync_eligible: false })
}

fn server(name: &str, flushed: u64, now: BootTime) -> Result<Server, Box<dyn std::error::Error>> {
    let (site, priority) = if name.starts_with("burlington") { ("burlington", 1) } else { ("montpelier", 2) };
    let config = Config {
        me: ServerName::new(name)?,
        member: member(site, priority)?,
        session: Session::new(1),
        founding: Founding::Joiner,
        timings: Timings::default(),
    };
    let persisted = Persisted { phase: Phase::Standby, promise: None, failsafe: None };
    Ok(Server {
        name: config.me.clone(),
        machine: Machine::new(config, persisted, now),
        guard: GuardReport { armed: None, processes: Processes::Running },
        position: Position { lineage: Lineage::first(), flushed: Lsn::new(flushed) },
    })
}

impl Server {
    fn observe(&self, role: Role) -> Observation {
        let position = Some(self.position.clone());
        let data = DataDirectory::Present(DATA);
        Observation { role, data, position, streaming_from: None, broken: None, followers: Vec::new() }
    }

    fn carry_out(
        &mut self,
        command: &Command,
        record: &mut ClusterRecord,
        now: BootTime,
        elapsed_ms: u64,
    ) -> Result<(), Box<dyn std::error::Error>> {
        writeln!(std::io::stdout(), "{elapsed_ms:>5} ms  {:<13} {command:?}", self.name)?;
        let mut role = None;
        let output = match command {
            Command::Propose { id, request } => {
                let outcome = record.apply(request);
                let result = outcome.map_or_else(ProposalResult::Rejected, |()| ProposalResult::Applied);
                self.machine.handle(Event::ProposalDone { id: *id, result }, now);
                OpOutput::Nothing
            }
            Command::ArmGuard { term, fence_at } => {
                self.guard.armed = Some(sb_failover::Armed { term: *term, fence_at: *fence_at });
                self.machine.handle(Event::Guard(self.guard), now);
                OpOutput::Nothing
            }
            Command::Fetch { until, .. } => {
                self.position = until.clone();
                OpOutput::At(until.clone())
            }
            Command::Freeze { .. } => OpOutput::At(self.position.clone()),
            Command::Promote { timeline, .. } => {
                self.position.lineage = Lineage::first().forked(self.position.flushed, *timeline)?;
                role = Some(Role::Primary);
                OpOutput::Promoted(self.position.lineage.clone())
            }
            _ => OpOutput::Nothing,
        };
        if let Some(op) = command.op() {
            self.machine.handle(Event::Done { op, result: Ok(output) }, now);
        }
        if let Some(role) = role {
            let observation = self.observe(role);
            self.machine.handle(Event::Postgres(observation), now);
        }
        Ok(())
    }
}
