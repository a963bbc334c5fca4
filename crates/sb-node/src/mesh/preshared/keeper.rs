use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_client::trust::Credentials;
use sb_client::{CallError, Client, Target};
use sb_topology::{ServerName, Topology};
use sb_wireguard::preshared::{Answer, Facts, Line, Shared, Step, Trial, Turn, Word, is_maker};
use sb_wireguard::{DesiredInterface, ObservedInterface, PresharedKey, is_fresh};
use tokio::sync::mpsc;

use super::line::{Order, PresharedError, PresharedLine, Reply, Stand};
use super::told::{from_answer, from_word, told};
use super::{PairFile, PairFileError};
use crate::journal::{Entry, Journal};
use crate::membership::peer_address;
use crate::mesh::agreed::Agreed;
use crate::mesh::exchange::milliseconds;
use crate::postgres::chain;

/// Between two words to one server that has not answered the newest, in milliseconds.
const SAY_MS: u64 = 2_000;

/// Between two words to one server that is not heard, or knows all, in milliseconds.
const SAY_AT_LEISURE_MS: u64 = 30_000;

/// How long one word is waited for, in milliseconds.
const ANSWER_MS_MAX: u64 = 1_500;

/// How long after a change the interface is looked at often, in seconds.
const HURRY_SECONDS: u64 = 15;

/// Steps that a pair takes at one look: more than there are.
const TURNS_MAX: usize = 4;

/// Keeps the secrets that this server shares with others: carries out what people and makers say, and what an earlier run of
/// the agent has begun.
pub(in crate::mesh) struct PresharedKeeper {
    own: ServerName,
    file: PairFile,
    pairs: BTreeMap<ServerName, Pair>,
    line: PresharedLine,
    orders: mpsc::Receiver<Order>,
    journal: Arc<Journal>,
    changed: Option<Instant>,
    /// The last complaint: it is told once.
    complaint: Option<String>,
}

/// What is known of a pair beside what is on disk.
#[derive(Debug, Default)]
struct Pair {
    facts: Facts,
    /// When the step began.
    since: Option<Instant>,
    said: Option<Instant>,
    /// Why the newest word was not answered.
    unanswered: Option<String>,
    trial: Trial,
}

/// What a look at the interface has shown and done.
pub(in crate::mesh) struct SeenLine<'a> {
    /// As it is wanted, and is now.
    pub(in crate::mesh) desired: &'a DesiredInterface,
    /// As it was before.
    pub(in crate::mesh) observed: &'a ObservedInterface,
    /// The wall clock when it was looked at.
    pub(in crate::mesh) now: Duration,
    /// The wall clock just before it was altered.
    pub(in crate::mesh) altered: Duration,
}

/// Whether the interface is to be looked at again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum Settled {
    /// What it has is what is in force.
    Yes,
    /// Another secret is.
    No,
}

/// The ways to the servers whose secrets this one makes.
pub(in crate::mesh) type Callers = BTreeMap<ServerName, Client>;

/// The ways to the servers of `topology` whose secrets `own` makes.
pub(in crate::mesh) fn callers(topology: &Topology, own: &ServerName, credentials: &Credentials) -> Callers {
    let caller = |server: &sb_topology::Server| {
        let target = Target::peer(server.name.clone(), peer_address(server), credentials).ok()?;
        Some((server.name.clone(), Client::new(target).deadline(Duration::from_millis(ANSWER_MS_MAX))))
    };
    topology.servers().filter(|server| is_maker(own, &server.name)).filter_map(caller).collect()
}

impl Pair {
    /// What a new key waits for, in words.
    fn waits(&self) -> Option<String> {
        let silent = !is_fresh(self.facts.last_handshake, self.facts.now);
        self.unanswered
            .clone()
            .or_else(|| silent.then(|| "there is no session on the direct line".to_owned()))
    }
}

impl PresharedKeeper {
    /// Goes on with what is in `file`, for the pairs of `own` with `others`.
    pub(in crate::mesh) fn new(
        own: &ServerName,
        others: impl Iterator<Item = ServerName>,
        file: PairFile,
        (line, orders): (PresharedLine, mpsc::Receiver<Order>),
        journal: Arc<Journal>,
    ) -> Self {
        let pairs = others.filter(|other| other != own).map(|other| (other, Pair::default())).collect();
        let own = own.clone();
        let keeper = Self { own, file, pairs, line, orders, journal, changed: None, complaint: None };
        keeper.tell();
        keeper
    }

    /// The secrets for the interface.
    pub(in crate::mesh) fn in_force(&self) -> BTreeMap<ServerName, PresharedKey> {
        let secret = |(peer, pair): (&ServerName, &Pair)| {
            let shared = self.file.of(peer).shared;
            let key =
                if is_maker(&self.own, peer) { shared.in_force() } else { pair.trial.in_force(&shared) };
            Some((peer.clone(), key?.clone()))
        };
        self.pairs.iter().filter_map(secret).collect()
    }

    /// Whether looks at the interface bring something on.
    pub(in crate::mesh) fn hurries(&self) -> bool {
        self.changed.is_some_and(|at| at.elapsed() < Duration::from_secs(HURRY_SECONDS))
    }

    /// The next order; waits for ever when there will be none.
    pub(in crate::mesh) async fn order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    /// Carries an order out as far as this server alone can. Whoever gave it and does not wait any more finds the journal.
    pub(in crate::mesh) fn obey(&mut self, order: Order) {
        match order {
            Order::Begin(with, reply) => drop(reply.send(self.begin(&with))),
            Order::Abandon(with, reply) => drop(reply.send(self.abandon(&with))),
            Order::Forget(peer, reply) => drop(reply.send(self.forget(&peer))),
            Order::Follow(maker, word, reply) => self.follow(&maker, &word, reply),
            Order::Answered(taker, answer) => {
                let Some(pair) = self.pairs.get_mut(&taker) else { return };
                match answer {
                    Ok(answer) => (pair.facts.answer, pair.unanswered) = (Some(answer), None),
                    Err(why) => pair.unanswered = Some(why),
                }
            }
        }
        self.tell();
    }

    fn begin(&mut self, with: &BTreeSet<ServerName>) -> Result<Vec<sb_api::MeshPreshared>, PresharedError> {
        let mut begun = Vec::new();
        for peer in with {
            if !is_maker(&self.own, peer) || !self.pairs.contains_key(peer) {
                continue;
            }
            let shared = self.file.of(peer).shared;
            if let Some(next) = shared.begun(PresharedKey::generate()) {
                self.store(peer, next)?;
                let message = format!("`{}` and `{peer}` get a new preshared key", self.own);
                self.journal.record(Entry::new("mesh.preshared.begun", message));
            }
            // Of the state before: it has changed once its revision is another.
            begun.push(told(peer, &shared, None));
        }
        Ok(begun)
    }

    fn abandon(&mut self, with: &BTreeSet<ServerName>) -> Result<Vec<sb_api::MeshPreshared>, PresharedError> {
        let mut ended = Vec::new();
        for peer in with {
            let back = self.file.of(peer).shared.abandoned().filter(|_| is_maker(&self.own, peer));
            let Some(back) = back else { continue };
            ended.push(told(peer, &back, None));
            self.store(peer, back)?;
            let message = format!("the new preshared key of `{}` and `{peer}` is given up", self.own);
            self.journal.record(Entry::new("mesh.preshared.withdrawn", message));
        }
        if ended.is_empty() { Err(PresharedError::NoneGoesOn) } else { Ok(ended) }
    }

    fn forget(&mut self, peer: &ServerName) -> Result<(), PresharedError> {
        let forgotten = self.file.of(peer).shared.forgotten();
        self.store(peer, forgotten)?;
        let message = format!("`{}` has forgotten what it shared with `{peer}`", self.own);
        self.journal.record(Entry::new("mesh.preshared.forgotten", message));
        Ok(())
    }

    fn follow(&mut self, maker: &ServerName, word: &Word, reply: Reply<Answer>) {
        let before = self.file.of(maker).shared;
        let followed = before.following(word);
        let stored = if followed == before { Ok(()) } else { self.store(maker, followed.clone()) };
        if stored.is_ok() && followed.kept != before.kept {
            self.note_done(maker);
        }
        let _ = reply.send(stored.map(|()| followed.answer()).map_err(PresharedError::from));
    }

    /// Goes on with every pair after a look at the interface. Words go out by `callers`.
    pub(in crate::mesh) fn turn(
        &mut self,
        seen: &SeenLine<'_>,
        agreed: &Agreed,
        callers: &Callers,
    ) -> Settled {
        let before = self.in_force();
        for peer in self.pairs.keys().cloned().collect::<Vec<_>>() {
            self.note(&peer, seen);
            if is_maker(&self.own, &peer) {
                // Handshakes that a key's replacement makes anew must not meet another secret at each end.
                let rotated = agreed.rotation.as_ref().map(|record| &record.server);
                let waits = rotated == Some(&peer) || rotated == Some(&self.own);
                if let Err(error) = self.step(&peer, waits) {
                    self.complain(chain(&error));
                }
                self.say(&peer, seen.now, callers);
            }
        }
        self.tell();
        if self.in_force() == before { Settled::Yes } else { Settled::No }
    }

    /// What the interface says of one pair: during the replacement of a key, of both its keys.
    fn note(&mut self, peer: &ServerName, seen: &SeenLine<'_>) {
        let shared = self.file.of(peer).shared;
        let Some(pair) = self.pairs.get_mut(peer) else { return };
        let wanted = || seen.desired.peers.iter().filter(|wanted| wanted.name == *peer);
        let there = |wanted: &sb_wireguard::DesiredPeer| seen.observed.peer(&wanted.public_key);
        let altered = wanted()
            .any(|wanted| there(wanted).is_none_or(|there| there.preshared_key != wanted.preshared_key));
        pair.facts.now = seen.now;
        pair.facts.last_handshake = wanted().filter_map(there).filter_map(|there| there.last_handshake).max();
        if altered || pair.facts.in_force_at.is_none() {
            pair.facts.in_force_at = Some(if altered { seen.altered } else { seen.now });
        }
        let now = Instant::now();
        let since = *pair.since.get_or_insert(now);
        pair.facts.step_ms = milliseconds(now.saturating_duration_since(since));
        let heard = is_fresh(pair.facts.last_handshake, seen.now);
        pair.trial.look(&shared, if heard { Line::Heard } else { Line::Silent }, now);
    }

    fn step(&mut self, peer: &ServerName, waits: bool) -> Result<(), PairFileError> {
        for _ in 0..TURNS_MAX {
            let shared = self.file.of(peer).shared;
            let offered = shared.next.as_ref().is_some_and(|next| next.step == Step::Offer);
            let Some(pair) = self.pairs.get(peer) else { return Ok(()) };
            match shared.turn(&pair.facts) {
                Turn::Rest => return Ok(()),
                Turn::Become(_) if waits && offered => return Ok(()),
                Turn::Become(next) => {
                    self.store(peer, next.clone())?;
                    self.note_step(peer, &shared, &next);
                }
                Turn::Renew => {
                    let Some(next) = shared.begun(PresharedKey::generate()) else { return Ok(()) };
                    self.store(peer, next)?;
                    let message =
                        format!("`{}` and `{peer}` do not share a preshared key any more", self.own);
                    let detail = "They get a new one.";
                    self.journal.record(Entry::new("mesh.preshared.renewed", message).detail(detail));
                }
            }
        }
        Ok(())
    }

    fn note_step(&self, peer: &ServerName, before: &Shared, after: &Shared) {
        if after.kept != before.kept {
            self.note_done(peer);
        } else if before.next.is_some() && after.next.is_none() {
            let message = format!("`{}` and `{peer}` go back to what they shared before", self.own);
            let detail = "The new preshared key brought no handshake.";
            self.journal.record(Entry::new("mesh.preshared.turned_back", message).detail(detail));
        }
    }

    fn note_done(&self, peer: &ServerName) {
        let message = format!("`{}` and `{peer}` have a new preshared key", self.own);
        self.journal.record(Entry::new("mesh.preshared.done", message));
    }

    /// On disk first; what was known of the state before says nothing about this one.
    fn store(&mut self, peer: &ServerName, shared: Shared) -> Result<(), PairFileError> {
        let before = self.file.of(peer).shared;
        let swaps = shared.in_force() != before.in_force();
        self.file.store(peer, shared)?;
        let now = Instant::now();
        if let Some(pair) = self.pairs.get_mut(peer) {
            (pair.since, pair.said) = (Some(now), None);
            if swaps {
                pair.facts.in_force_at = None;
            }
        }
        (self.changed, self.complaint) = (Some(now), None);
        Ok(())
    }

    /// Tells the taker the newest word, until it has answered it; and one that is not heard from time to time, since it may have
    /// lost what it shared.
    fn say(&mut self, peer: &ServerName, now: Duration, callers: &Callers) {
        let shared = self.file.of(peer).shared;
        let (Some(pair), Some(caller)) = (self.pairs.get_mut(peer), callers.get(peer)) else { return };
        let known = pair.facts.answer.as_ref().is_some_and(|answer| answer.revision == shared.revision);
        let heard = is_fresh(pair.facts.last_handshake, now);
        if heard && (known || shared.is_nothing()) {
            return;
        }
        let goes_on = !known && !shared.is_nothing() && heard;
        let every = Duration::from_millis(if goes_on { SAY_MS } else { SAY_AT_LEISURE_MS });
        if pair.said.is_some_and(|said| said.elapsed() < every) {
            return;
        }
        pair.said = Some(Instant::now());
        let (peer, caller, line) = (peer.clone(), caller.clone(), self.line.clone());
        let word = from_word(&shared.word());
        tokio::spawn(async move {
            let answer = match caller.preshared(&word).await {
                Ok(answer) => from_answer(&answer).map_err(|_| "its answer cannot be read".to_owned()),
                Err(CallError::Problem(problem)) if problem.code == "http.path" => {
                    Err("its agent knows no preshared keys yet".to_owned())
                }
                Err(error) => Err(chain(&error)),
            };
            line.note_answer(peer, answer).await;
        });
    }

    fn complain(&mut self, sentence: String) {
        if self.complaint.as_ref() != Some(&sentence) {
            let message = "a step of a preshared key cannot be written down";
            self.journal.record(Entry::new("mesh.preshared.stalled", message).detail(sentence.clone()));
            self.complaint = Some(sentence);
        }
    }

    fn tell(&self) {
        let stand = |(peer, pair): (&ServerName, &Pair)| {
            let held = self.file.of(peer);
            let waits = held.shared.next.as_ref().and_then(|_| pair.waits());
            let stand = Stand { told: told(peer, &held.shared, waits), since: held.since };
            (!held.shared.is_nothing()).then(|| (peer.clone(), stand))
        };
        self.line.tell(self.pairs.iter().filter_map(stand).collect());
    }
}
