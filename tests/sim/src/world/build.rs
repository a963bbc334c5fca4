//! A world at its beginning: every server is up, the store's group is formed, no server has a database.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sb_consensus::replica::DiskContent;
use sb_consensus::{MemberId, MembershipChange};
use sb_failover::record::{Automatic, LAG_BYTES_MAX_DEFAULT, Member};
use sb_failover::{Config, Founding, Incarnation, Machine, Persisted, Session, Term};
use sb_topology::SiteName;

use super::clients::CLIENTS;
use super::{What, World};
use crate::invariants;
use crate::model::clock::Clock;
use crate::model::disk::VirtualDisk;
use crate::model::guard::Guard;
use crate::model::ledger::{Ledger, Replicated};
use crate::model::network::Network;
use crate::model::postgres::Postgres;
use crate::profile::Profile;
use crate::rng::{MS, Rng};
use crate::server::{Node, Server, Store, name};

/// What the ids of one server's incarnations differ by.
pub const INCARNATIONS: u64 = 64;

/// The store's member that a server is in one of its lives.
pub fn member(server: usize, incarnation: u64) -> sb_consensus::Member {
    let id = incarnation * INCARNATIONS + server as u64 + 1;
    let id = MemberId::new(id).expect("not zero");
    sb_consensus::Member { id, name: name(server).to_string(), address: format!("s{server}:7432") }
}

/// The server at whose address a member is or was.
pub fn server_of(id: MemberId) -> usize {
    usize::try_from((id.get() - 1) % INCARNATIONS).expect("fewer than 64")
}

impl World {
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut rng = Rng::new(seed);
        let sites = profile.sites_of_servers();
        let ledger = Ledger::new(profile.mutant);
        let voters: Vec<bool> = (0..sites.len()).map(|s| profile.votes(s)).collect();
        let content = founding_content(&ledger, &voters);
        let servers = (0..sites.len()).map(|s| server(s, &sites, &profile, &content, &mut rng)).collect();
        let mut world = Self {
            network: Network::new(&sites, profile.wire),
            profile,
            rng,
            now: 0,
            servers,
            ledger,
            clients: Vec::new(),
            confirmed: Vec::new(),
            reported_lost: BTreeSet::new(),
            voters,
            moves: BTreeSet::new(),
            events: 0,
            hash: seed,
            violation: None,
            calm_since: None,
            wiped: false,
            helped_out: None,
            trace: None,
            tally: crate::tally::Tally::default(),
            watched: (Term::default(), 0),
            accepted_lost: BTreeSet::new(),
            troubles: 0,
            questions: BTreeMap::new(),
            invariants: invariants::all(),
            steps_seen: 0,
            next_record: 1,
            queue: super::queue::Queue::default(),
            outbox: Vec::new(),
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for server in 0..self.count() {
            let soon = self.ns((0, 50));
            let run = self.servers[server].run;
            self.after(soon, What::AgentStarts { server, run });
            self.after(server as u64 * MS, What::Observe { server });
        }
        for client in 0..CLIENTS {
            self.clients.push(super::Client::new(client % self.count()));
            self.after(client as u64 * MS, What::Client { client });
        }
        self.after(100 * MS, What::TendMembership);
        self.after(1_500 * MS, What::Arrange);
    }
}

/// The disk of every member when the group is formed.
fn founding_content(ledger: &Ledger, voters: &[bool]) -> DiskContent {
    let mut content = Node::bootstrap(&member(0, 1), &Replicated::new(ledger));
    let snapshot = content.snapshot.as_mut().expect("a group begins with a snapshot");
    for (server, votes) in voters.iter().enumerate().skip(1) {
        let change = |change: MembershipChange, snapshot: &mut sb_consensus::replica::Snapshot| {
            snapshot.membership.apply(&change).expect("nobody is in the way");
        };
        change(MembershipChange::AddLearner(member(server, 1)), snapshot);
        if *votes {
            change(MembershipChange::Promote(member(server, 1).id), snapshot);
        }
    }
    content
}

fn server(server: usize, sites: &[usize], profile: &Profile, content: &DiskContent, rng: &mut Rng) -> Server {
    let config = config(server, sites[server], profile);
    let limit = profile.clock_ppm;
    let within =
        i64::try_from(rng.range(0, 2 * limit.unsigned_abs() + 1)).expect("parts per million") - limit;
    let ppm = match rng.pick(4) {
        0 => limit,
        1 => -limit,
        _ => within,
    };
    let clock = Clock::new(1_000_000_000 * (server as u64 + 1), ppm);
    let persisted = Persisted::default();
    let machine = Machine::new_mutated(config.clone(), persisted.clone(), clock.read(0), profile.mutant);
    Server {
        name: name(server),
        site: sites[server],
        up: true,
        buried: None,
        lost: false,
        agent: false,
        frozen: false,
        suspended: None,
        clock_sleeps: false,
        overslept: false,
        distrusted_until: 0,
        deaf: 0,
        slow_receiver: 0,
        slow_disk: 0,
        run: 1,
        machine,
        config,
        persisted,
        clock,
        guard: Guard::default(),
        postgres: Postgres::absent(sites.len()),
        store: Store {
            member: member(server, 1),
            disk: VirtualDisk::with(content),
            starts: 0,
            node: None,
            asked: BTreeMap::new(),
            inbox: VecDeque::new(),
            busy: false,
            held_messages: Vec::new(),
            held_answers: Vec::new(),
            applied: 0,
            ticks_missed: 0,
            cut: 0,
            led: false,
        },
        told: 0,
        tell_due: false,
        inbox: VecDeque::new(),
        wake: None,
        running: None,
    }
}

fn config(server: usize, site: usize, profile: &Profile) -> Config {
    let synchronous = profile.durability.is_synchronous();
    let founder = Founding::Founder {
        durability: profile.durability,
        number: usize::from(synchronous),
        lag_bytes_max: LAG_BYTES_MAX_DEFAULT,
        automatic: Automatic::Allowed,
    };
    let founding = match server {
        0 => founder,
        _ if profile.has_postgres(server) => Founding::Joiner,
        _ => Founding::Witness,
    };
    Config {
        me: name(server),
        member: Member {
            incarnation: Incarnation::new(1),
            site: SiteName::new(format!("site{site}")).expect("a short word"),
            priority: u32::try_from(site).expect("few sites"),
            promotable: profile.has_postgres(server),
            sync_eligible: profile.sync_eligible(server),
        },
        session: Session::new(0),
        founding,
        timings: profile.timings.clone(),
    }
}
