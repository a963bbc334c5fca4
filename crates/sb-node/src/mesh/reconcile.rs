//! The interface and the packet filter, kept as the documents and the agreement want them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_topology::ServerName;
use sb_wireguard::DesiredError;
use sb_wireguard::relay::RelayPlan;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::agreed::Agreed;
use super::agreement::Known;
use super::exchange::HURRY_SECONDS_MAX;
use super::firewall::Firewall;
use super::forwarding::{self, Forward};
use super::health::{Circle, Findings, News, Seen};
use super::knowledge::{Carrying, Knowledge};
use super::preshared::{Callers, PresharedKeeper, SeenLine, Settled};
use super::proposer::Proposer;
use super::relays;
use super::rotation::{self, Rotator};
use super::told::told;
use super::upkeep::{Age, Look, Upkeep, UpkeepError};
use super::wanted::Documents;
use crate::journal::{Entry, Journal};
use crate::postgres::chain;
use crate::troubles::{Change, Topic, Troubles};

/// Between two looks at the interface, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// Longest wait for the endpoints' names before anything else starts, in milliseconds: a restarted agent has to be back
/// within a fraction of the lease.
const FIRST_NAMES_MS_MAX: u64 = 300;

/// Longest wait for them later, in milliseconds.
const NAMES_MS_MAX: u64 = 2_000;

/// Between two looks while a server's key is being replaced, in milliseconds: the addresses move to the new key at a look.
const ROTATION_LOOK_MS: u64 = 100;

/// Longest wait for names meanwhile, in milliseconds.
const ROTATION_NAMES_MS_MAX: u64 = 50;

/// After so long the packet filter's rules are put in force again, in seconds.
const RULES_SECONDS: u64 = 60;

/// What is put back again and again is told so often, in seconds.
const RESTORED_SECONDS: u64 = 60;

/// Looks that follow each other at once: one puts another key in force, the next sees it there.
const LOOKS_MAX: usize = 4;

/// Whether something else is wanted than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switched {
    /// It is.
    Yes,
    /// All is as it was.
    No,
}

/// Keeps the interface, the packet filter and the kernel's forwarding as they should be.
pub(super) struct Reconciler {
    upkeep: Upkeep,
    documents: Documents,
    rotator: Rotator,
    preshared: PresharedKeeper,
    firewall: Firewall,
    knowledge: Knowledge,
    agreed: watch::Receiver<Arc<Known>>,
    /// Where the servers are in the mesh.
    addresses: BTreeMap<ServerName, IpAddr>,
    /// What is followed of the plan in force.
    relays: RelayPlan,
    /// Whether the packet filter's rules are in force.
    filters: bool,
    /// Whether the kernel has refused to forward as asked.
    refused: bool,
    circle: Circle,
    findings: watch::Receiver<Findings>,
    news: News,
    /// What was put back last, and when that was told.
    restored: Option<(String, Instant)>,
    journal: Arc<Journal>,
    troubles: Arc<Troubles>,
}

impl Reconciler {
    /// Nothing is done before [`Self::begin`].
    pub(super) fn new(
        upkeep: Upkeep,
        (documents, rotator, preshared): (Documents, Rotator, PresharedKeeper),
        firewall: Firewall,
        addresses: BTreeMap<ServerName, IpAddr>,
        knowledge: Knowledge,
        journal: Arc<Journal>,
        troubles: Arc<Troubles>,
    ) -> Self {
        Self {
            circle: Circle::of(&upkeep.desired),
            findings: knowledge.findings.subscribe(),
            news: News::default(),
            restored: None,
            upkeep,
            documents,
            rotator,
            preshared,
            firewall,
            addresses,
            agreed: knowledge.agreed.clone(),
            knowledge,
            relays: RelayPlan::default(),
            filters: false,
            refused: false,
            journal,
            troubles,
        }
    }

    /// The first look: afterwards the mesh address can be listened on.
    pub(super) async fn begin(&mut self) -> Result<(), UpkeepError> {
        self.follow_the_plan();
        match self.look(Duration::from_millis(FIRST_NAMES_MS_MAX)).await {
            // The interface is up under the key that this server has. An agent that ended here would take a healthy
            // PostgreSQL along, and could not tell how to mend it.
            Err(error @ UpkeepError::Desired(_)) => self.complain(&error),
            looked => drop(looked?),
        }
        self.keep_strangers_out().await;
        Ok(())
    }

    /// Keeps all of it until `stop`. A new agreement is acted on at once. What becomes of this server's key goes to the store
    /// by `proposer`, and what becomes of its preshared keys to others by `callers`.
    pub(super) async fn keep(mut self, proposer: Proposer, callers: Callers, stop: CancellationToken) {
        let mut last_look = Instant::now();
        let (mut last_rules, mut agreed_at) = (last_look, last_look);
        loop {
            let goes_on = self.rotator.goes_on() || self.agreed.borrow().agreed.rotation.is_some();
            let hurry = goes_on && agreed_at.elapsed() < Duration::from_secs(HURRY_SECONDS_MAX);
            let hurry = hurry || self.preshared.hurries();
            let (pause_ms, names_ms) = match hurry {
                // An answer that is waited for is time in which nobody moves to a new key.
                true => (ROTATION_LOOK_MS, ROTATION_NAMES_MS_MAX),
                false => (LOOK_MS, NAMES_MS_MAX),
            };
            let (pause, patience) = (Duration::from_millis(pause_ms), Duration::from_millis(names_ms));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = self.rotator.order() => {
                    let known = self.agreed.borrow().clone();
                    self.rotator.obey(order, &known.agreed);
                    agreed_at = Instant::now();
                }
                order = self.preshared.order() => self.preshared.obey(order),
                Ok(()) = self.agreed.changed() => agreed_at = Instant::now(),
                Ok(()) = a_path_has_changed(&mut self.findings, &self.upkeep.narrowed) => {}
                () = tokio::time::sleep(pause.saturating_sub(last_look.elapsed())) => {}
            }
            let switched = self.follow_the_plan();
            // Who carries has its rules looked after more often: without them more would be passed on than it should.
            let every = if self.firewall.carried.is_empty() { RULES_SECONDS } else { LOOK_MS / 1_000 };
            if switched == Switched::Yes || last_rules.elapsed() >= Duration::from_secs(every) {
                self.keep_strangers_out().await;
                last_rules = Instant::now();
            }
            last_look = Instant::now();
            self.look_until_at_rest(patience, &proposer, &callers).await;
            if switched == Switched::Yes {
                // What was looked at before the change is not told as how it is.
                self.look_until_at_rest(patience, &proposer, &callers).await;
            }
        }
    }

    /// Looks, and goes on with the replacement of the own key and with preshared ones; a step that gives the interface another
    /// key is acted on at once.
    async fn look_until_at_rest(&mut self, patience: Duration, proposer: &Proposer, callers: &Callers) {
        for _ in 0..LOOKS_MAX {
            let look = match self.look(patience).await {
                Ok(look) => look,
                Err(error) => return self.complain(&error),
            };
            let key = self.upkeep.private_key.public_key();
            let interface =
                rotation::Interface { desired: &self.upkeep.desired, observed: &look.observed, key };
            let known = self.knowledge.agreed.borrow().clone();
            let words = self.knowledge.words.borrow().clone();
            self.rotator.turn(&interface, &known.agreed, &words, proposer);
            let (desired, observed) = (&self.upkeep.desired, &look.observed);
            let seen = SeenLine { desired, observed, now: look.now, altered: look.altered };
            let shared = self.preshared.turn(&seen, &known.agreed, callers);
            if self.rotator.private_key().public_key() == key && shared == Settled::Yes {
                return;
            }
        }
    }

    async fn look(&mut self, patience: Duration) -> Result<Look, UpkeepError> {
        let known = self.knowledge.agreed.borrow().clone();
        let documented = (self.documents)(&known.agreed, &self.rotator.known_by(&known.agreed));
        if let Ok(documented) = &documented {
            self.upkeep.documented = documented.clone();
        }
        self.upkeep.documented.share(&self.preshared.in_force());
        self.upkeep.narrowed = narrowed(&self.findings.borrow_and_update());
        self.upkeep.generation = known.told.generation;
        self.upkeep.private_key = self.rotator.private_key().clone();
        let agreed = Agreed { relays: self.relays.clone(), ..known.agreed.clone() };
        let look = self.upkeep.look(patience, &agreed).await?;
        if look.swapped_key() {
            self.rotator.note_swap(look.now);
            rotation::nudge(&self.upkeep.desired);
        }
        if look.age == Age::New && self.upkeep.callers.know_any() {
            // They do not know that this server's session with them is gone.
            rotation::nudge(&self.upkeep.desired);
        }
        self.knowledge.progress.send_replace(rotation::progress_of(&agreed, &self.upkeep.desired));
        self.tell(&look);
        // What cannot be followed is complained about, and the interface kept as before.
        documented?;
        self.troubles.set(Topic::Mesh, None);
        Ok(look)
    }

    /// Wants what the newest agreement says from the next look on.
    fn follow_the_plan(&mut self) -> Switched {
        let known = self.agreed.borrow_and_update().clone();
        let own = &self.upkeep.documented.server;
        let sights = self.knowledge.sights.borrow().told(Instant::now());
        let relays = relays::followed(&known.agreed.relays, own, &sights);
        if relays.relays().eq(self.relays.relays()) {
            return Switched::No;
        }
        for entry in relays::news(&self.relays, &relays, &known.agreed.relays, own) {
            self.journal.record(entry);
        }
        self.firewall.carried = relays::carried(&relays, own, &self.addresses);
        self.relays = relays;
        Switched::Yes
    }

    /// Puts the packet filter's rules in force, again and again: whoever flushes the ruleset takes them away. Without them
    /// the services still ask who calls, so that the agent goes on and says so; but then nobody's packets are passed on.
    async fn keep_strangers_out(&mut self) {
        let installed = self.firewall.install().await;
        let sentence =
            installed.as_ref().err().map(|error| format!("the packet filter keeps nobody out: {error}"));
        let change = self.troubles.set(Topic::Firewall, sentence);
        if let (Err(error), Change::Began | Change::Differs) = (&installed, change) {
            let message = "the packet filter does not keep strangers from this server's services";
            self.journal.record(Entry::new("mesh.unguarded", message).detail(error.to_string()));
        }
        self.filters = installed.is_ok();
        let carried = if self.filters { self.firewall.carried.clone() } else { BTreeSet::new() };
        self.forward(&carried);
    }

    /// Has the kernel pass on what the packet filter lets through, and nothing while nobody is carried.
    fn forward(&mut self, carried: &BTreeSet<(IpAddr, IpAddr)>) {
        let any = |family: fn(&IpAddr) -> bool| match carried.iter().any(|(from, _)| family(from)) {
            true => Forward::Tunnel,
            false => Forward::AsTheHost,
        };
        let (four, six) = (any(IpAddr::is_ipv4), any(IpAddr::is_ipv6));
        let name = &self.upkeep.documented.name;
        let own = self.upkeep.documented.address.address();
        let (set, possible) = tokio::task::block_in_place(|| {
            (forwarding::set(name, four, six), forwarding::is_possible(name, own))
        });
        // What was refused once is tried again by the next run only: the plan would come back to this server.
        self.refused |= set.is_err();
        let able = self.filters && possible && !self.refused;
        self.knowledge.carrying.send_replace(if able { Carrying::Able } else { Carrying::Unable });
        let sentence = match set {
            Err(error) => Some(format!("others' packets cannot be passed on: {}", chain(&error))),
            Ok(()) if *carried != self.firewall.carried => Some(
                "others' packets are not passed on: the packet filter would not hold back the rest".into(),
            ),
            Ok(()) => None,
        };
        if let (Some(sentence), Change::Began) =
            (sentence.clone(), self.troubles.set(Topic::Carrying, sentence))
        {
            let message = "this server does not carry the packets that the plan has it carry";
            self.journal.record(Entry::new("mesh.cannot_carry", message).detail(sentence));
        }
    }

    fn tell(&mut self, look: &Look) {
        let desired = &self.upkeep.desired;
        if look.age == Age::New {
            let (name, kind, peers) = (&desired.name, look.kind, desired.peers.len());
            let message = format!("the mesh is up: `{name}`, {kind} WireGuard, {peers} peers");
            self.journal.record(Entry::new("mesh.up", message));
        }
        let changed = look.changed_by_hand();
        if !changed.is_empty() {
            let named: Vec<String> = changed.iter().map(ToString::to_string).collect();
            let (named, now) = (named.join("; "), Instant::now());
            let again = Duration::from_secs(RESTORED_SECONDS);
            let told = |(what, at): &(String, Instant)| *what == named && now - *at < again;
            if !self.restored.as_ref().is_some_and(told) {
                let message =
                    format!("`{}` was changed by hand and is as the documents say again", desired.name);
                self.journal.record(Entry::new("mesh.restored", message).detail(named.clone()));
                self.restored = Some((named, now));
            }
        }
        let seen = Seen { wanted: desired, observed: &look.observed, wall: look.now, at: Instant::now() };
        self.knowledge.sessions.send_modify(|sessions| sessions.note(&self.circle, seen));
        let findings = self.findings.borrow().clone();
        let mut status = told(desired, &self.relays, look, self.upkeep.private_key.public_key(), &findings);
        self.knowledge.preshared.tell_of(&mut status, look.now);
        self.knowledge.status.send_replace(Some(status));
        self.tell_findings(&findings);
    }

    fn tell_findings(&mut self, findings: &Findings) {
        for entry in self.news.entries(findings, &self.circle) {
            self.journal.record(entry);
        }
        self.troubles.set(Topic::Clock, self.news.clocks());
        self.troubles.set(Topic::Path, self.news.holes());
    }

    fn complain(&self, error: &UpkeepError) {
        let sentence = chain(error);
        if self.troubles.set(Topic::Mesh, Some(sentence.clone())) != Change::None {
            let entry = Entry::new("mesh.trouble", "the mesh is not as it should be");
            let way = match error {
                UpkeepError::Desired(DesiredError::KeyMismatch { server, own, .. }) => {
                    format!(". On a server that is heard: sb-cli net accept-key {server} {own}")
                }
                _ => String::new(),
            };
            self.journal.record(entry.detail(sentence + &way));
        }
    }
}

/// Waits until the probes have found that packets to a server have to be smaller than they are, or need not be.
async fn a_path_has_changed(
    findings: &mut watch::Receiver<Findings>,
    narrow: &BTreeMap<IpAddr, u16>,
) -> Result<(), watch::error::RecvError> {
    findings.wait_for(|findings| narrowed(findings) != *narrow).await.map(drop)
}

/// The sizes of packets to those servers whose path takes less than the interface.
fn narrowed(findings: &Findings) -> BTreeMap<IpAddr, u16> {
    findings.values().filter_map(|found| Some((found.to, found.narrowed?))).collect()
}
