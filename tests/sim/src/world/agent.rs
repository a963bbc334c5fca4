//! The agent around the machine: events in, commands out.

use sb_failover::{Command, Event, JournalEntry, Machine, Request};

use super::{What, World};
use crate::invariants::Happening;
use crate::rng::MS;

impl World {
    /// A new agent hears from its guard, of PostgreSQL, and what its replica of the store has replayed.
    pub fn start_agent(&mut self, server: usize, run: u64) {
        if self.servers[server].run != run || !self.servers[server].up || self.servers[server].agent {
            return;
        }
        let (now, mutant) = (self.now, self.profile.mutant);
        let s = &mut self.servers[server];
        s.agent = true;
        s.frozen = false;
        s.config.session = s.config.session.next();
        s.told = 0;
        s.tell_due = false;
        s.wake = None;
        s.inbox.clear();
        s.running = None;
        s.machine = Machine::new_mutated(s.config.clone(), s.persisted.clone(), s.boot_time(now), mutant);
        self.note(|| format!("s{server} its agent starts"));
        if !self.start_store(server) {
            return self.refuse_store(server);
        }
        self.report(server);
        self.deliver_observation(server);
        let record = self.record_of(server);
        self.servers[server].told = self.servers[server].store.applied;
        self.deliver(server, Event::Record(record));
    }

    pub fn deliver(&mut self, server: usize, event: Event) {
        let run = self.servers[server].run;
        self.after(0, What::Deliver { server, run, event: Box::new(event) });
    }

    pub fn hand_over(&mut self, server: usize, run: u64, event: Box<Event>) {
        if self.servers[server].run != run {
            return;
        }
        let of_store = matches!(*event, Event::ProposalDone { .. });
        if of_store && self.servers[server].deaf > 0 {
            return self.after(20 * MS, What::Deliver { server, run, event });
        }
        self.feed(server, *event);
    }

    /// Tells the machine the newest record that its replica holds.
    pub fn tell_record(&mut self, server: usize, run: u64) {
        if self.servers[server].run != run {
            return;
        }
        if self.servers[server].deaf > 0 || !self.servers[server].agent_runs() {
            return self.after(20 * MS, What::Tell { server, run });
        }
        let record = self.record_of(server);
        let s = &mut self.servers[server];
        s.tell_due = false;
        s.told = s.store.applied;
        self.feed(server, Event::Record(record));
    }

    pub fn wake(&mut self, server: usize, run: u64, at: u64) {
        let s = &self.servers[server];
        if s.run == run && s.wake == Some(at) {
            self.feed(server, Event::Timeout);
        }
    }

    /// Gives an event to a machine and carries out its commands.
    pub fn feed(&mut self, server: usize, event: Event) {
        let now = self.now;
        let s = &mut self.servers[server];
        if !s.up || !s.agent {
            return;
        }
        if s.frozen || s.suspended.is_some() {
            s.inbox.push_back(event);
            return;
        }
        let clock = s.boot_time(now);
        s.machine.handle(event, clock);
        while let Some(command) = self.servers[server].machine.poll_command() {
            self.command(server, command);
        }
        let s = &mut self.servers[server];
        let wake = s.machine.poll_timeout().map(|at| s.clock.when(at).max(now));
        if wake != s.wake {
            s.wake = wake;
            if let Some(at) = wake {
                let run = s.run;
                self.after(at - now, What::Wake { server, run, at });
            }
        }
    }

    /// Lets a machine that was stopped go on with what came meanwhile.
    pub fn feed_inbox(&mut self, server: usize) {
        let events = std::mem::take(&mut self.servers[server].inbox);
        self.servers[server].wake = None;
        for event in events {
            self.feed(server, event);
        }
        self.feed(server, Event::Timeout);
    }

    fn count_entry(&mut self, entry: &JournalEntry) {
        let word = match entry {
            JournalEntry::Moved { from, trigger, .. } => {
                self.moves.insert((*from, *trigger));
                return;
            }
            JournalEntry::Fetching { .. } => "journal: fetching",
            JournalEntry::FailsafeHolds { .. } => "journal: failsafe holds",
            JournalEntry::LeaseLength { .. } => "journal: another lease length",
            JournalEntry::FellBack { .. } => "journal: fell back",
            JournalEntry::SetFormed { .. } => "journal: set formed",
            JournalEntry::Draining { .. } => "journal: draining",
            JournalEntry::Elected { .. } => "journal: elected",
            JournalEntry::Promoted { .. } => "journal: promoted",
            JournalEntry::Frozen { .. } => "journal: frozen",
            _ => return,
        };
        self.tally.note(word);
    }

    fn command(&mut self, server: usize, command: Command) {
        match command {
            Command::Journal(entry) => {
                self.count_entry(&entry);
                self.note(|| format!("s{server} {entry:?}"));
            }
            Command::Propose { id, request } => {
                if let Request::Renew { term, .. } = request {
                    self.tell(&Happening::Renews { server, term });
                }
                self.propose(server, Some(id), request);
            }
            other => self.operate(server, other),
        }
    }
}
