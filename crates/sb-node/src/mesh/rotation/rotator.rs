use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::MeshProgress;
use sb_topology::ServerName;
use sb_wireguard::relay::Pair;
use sb_wireguard::rotation::{Progress, Record, Step};
use sb_wireguard::{DesiredInterface, ObservedInterface, PrivateKey, PublicKey};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::line::{KeyLine, KeyStanding, Order};
use super::owner::{OwnRotation, Seen, Turn};
use crate::journal::{Entry, Journal};
use crate::mesh::agreed::Agreed;
use crate::mesh::exchange::Words;
use crate::mesh::proposer::Proposer;
use crate::postgres::chain;

/// A word older than this does not say that its server is there, in milliseconds.
const WORD_MS_MAX: u64 = 5_000;

/// Turns that follow each other at one look: more than the steps of a rotation.
const TURNS_MAX: usize = 16;

/// Keeps this server's key: carries out what people order, and what an earlier run of the agent has begun.
pub(in crate::mesh) struct Rotator {
    server: ServerName,
    own: OwnRotation,
    others: usize,
    line: KeyLine,
    orders: mpsc::Receiver<Order>,
    journal: Arc<Journal>,
    /// One proposal at a time; the looks do not wait for the store.
    proposal: Option<JoinHandle<()>>,
    /// The last complaint: it is told once.
    complaint: Option<String>,
}

/// What the interface was found and made to be at a look.
pub(in crate::mesh) struct Interface<'a> {
    /// As it is wanted, and is now.
    pub(in crate::mesh) desired: &'a DesiredInterface,
    /// As it was before.
    pub(in crate::mesh) observed: &'a ObservedInterface,
    /// The key that it has.
    pub(in crate::mesh) key: PublicKey,
}

impl Rotator {
    /// Goes on with what `own` has found.
    pub(in crate::mesh) fn new(
        server: &ServerName,
        others: usize,
        own: OwnRotation,
        (line, orders): (KeyLine, mpsc::Receiver<Order>),
        journal: Arc<Journal>,
    ) -> Self {
        let server = server.clone();
        let rotator = Self { server, own, others, line, orders, journal, proposal: None, complaint: None };
        rotator.tell(None);
        rotator
    }

    /// The key for the interface.
    pub(in crate::mesh) fn private_key(&self) -> &PrivateKey {
        self.own.private_key()
    }

    /// The key that the others know this server by.
    pub(in crate::mesh) fn known_by(&self, agreed: &Agreed) -> PublicKey {
        self.own.known_by(agreed)
    }

    /// Whether this server's key is being replaced.
    pub(in crate::mesh) fn goes_on(&self) -> bool {
        self.own.line().is_some()
    }

    /// The next order; waits for ever when there will be none.
    pub(in crate::mesh) async fn order(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }

    /// Carries an order out as far as this server alone can.
    pub(in crate::mesh) fn obey(&mut self, order: Order, agreed: &Agreed) {
        // Whoever gave the order and does not wait any more finds the journal.
        match order {
            Order::Begin(reply) => {
                let old = self.private_key().public_key();
                let begun = self.own.begin(agreed);
                if let Ok(new) = &begun {
                    let message = format!("the WireGuard key of `{}` is being replaced", self.server);
                    let detail = format!("From {old} to {new}.");
                    self.journal.record(Entry::new("mesh.rotation.begun", message).detail(detail));
                    self.tell(None);
                }
                let _ = reply.send(begun);
            }
            Order::Abandon(reply) => {
                let _ = reply.send(self.own.abandon());
                self.tell(self.line.told().sessions_ms);
            }
        }
    }

    /// Does what is due after a look at the interface, `now` by the clock that dates handshakes.
    pub(in crate::mesh) fn turn(
        &mut self,
        interface: &Interface<'_>,
        agreed: &Agreed,
        words: &Words,
        proposer: &Proposer,
    ) {
        for _ in 0..TURNS_MAX {
            let seen = Seen {
                agreed,
                followers: followers(agreed, &self.server, words),
                others: self.others,
                interface: Some(interface.key),
                now: Instant::now(),
            };
            match self.own.turn(&seen) {
                Ok(Turn::Rest) => return,
                Ok(Turn::Again) => {}
                Ok(Turn::Stepped(step)) => self.note_step(step, interface),
                Ok(Turn::Propose(next)) => return self.propose(agreed, next, proposer),
                Ok(Turn::Ended(key)) => return self.note_end(key),
                Err(error) => return self.complain(chain(&error)),
            }
            if self.private_key().public_key() != interface.key {
                return;
            }
        }
    }

    /// Notes that the interface has got another key.
    pub(in crate::mesh) fn note_swap(&mut self, at: Duration) {
        self.own.note_swap(at);
    }

    fn note_step(&mut self, step: Step, interface: &Interface<'_>) {
        let (kind, message) = match step {
            Step::Swap => ("mesh.rotation.swapped", "goes over to its new WireGuard key"),
            Step::TurnBack => {
                ("mesh.rotation.turned_back", "goes back to its WireGuard key: nobody followed")
            }
            Step::Announce | Step::Finish | Step::Withdraw => {
                let sessions_ms = (step == Step::Finish).then(|| self.sessions_ms(interface)).flatten();
                return self.tell(sessions_ms);
            }
        };
        self.journal.record(Entry::new(kind, format!("`{}` {message}", self.server)));
        self.tell(None);
    }

    fn note_end(&mut self, key: PublicKey) {
        let told = self.line.told();
        let renewed = told.going.is_some_and(|(new, _)| new == key);
        let entry = if renewed {
            let message = format!("the WireGuard key of `{}` is replaced", self.server);
            let detail = match told.sessions_ms {
                Some(ms) => format!("It is {key}. All that were there had a session with it after {ms} ms."),
                None => format!("It is {key}."),
            };
            Entry::new("mesh.rotation.done", message).detail(detail)
        } else {
            let message = format!("`{}` keeps its WireGuard key", self.server);
            Entry::new("mesh.rotation.withdrawn", message).detail(format!("It is {key}."))
        };
        self.journal.record(entry);
        self.complaint = None;
        self.tell(told.sessions_ms);
    }

    /// How long after the swap the last of the servers that are there had a session with the new key.
    fn sessions_ms(&self, interface: &Interface<'_>) -> Option<u64> {
        let swapped = self.own.swapped()?;
        let observed = interface.observed;
        let after = interface
            .desired
            .peers
            .iter()
            .filter_map(|peer| observed.peer(&peer.public_key)?.last_handshake?.checked_sub(swapped));
        after.max().and_then(|after| u64::try_from(after.as_millis()).ok())
    }

    /// Only on top of the agreement that it was made from.
    fn propose(&mut self, agreed: &Agreed, next: Agreed, proposer: &Proposer) {
        let under_way = self.proposal.as_ref().is_some_and(|proposal| !proposal.is_finished());
        if under_way {
            return;
        }
        let (proposer, base) = (proposer.clone(), agreed.clone());
        self.proposal = Some(tokio::spawn(async move {
            let proposed = proposer.propose(move |newest| (*newest == base).then_some(next)).await;
            if let Err(error) = proposed {
                tracing::debug!(error = %chain(&error), "a step of a key's replacement is not agreed on yet");
            }
        }));
    }

    fn complain(&mut self, sentence: String) {
        if self.complaint.as_ref() != Some(&sentence) {
            let message = format!("the replacement of the WireGuard key of `{}` stands still", self.server);
            self.journal.record(Entry::new("mesh.rotation.stalled", message).detail(sentence.clone()));
            self.complaint = Some(sentence);
        }
    }

    fn tell(&self, sessions_ms: Option<u64>) {
        let going = self.own.line().map(|line| (line.new, line.step));
        let key = Some(self.private_key().public_key());
        self.line.tell(KeyStanding { key, going, sessions_ms });
    }
}

/// The servers that are there, and how far they have followed. Whoever is reached through another is not waited for: its
/// addresses are behind neither key.
fn followers(agreed: &Agreed, own: &ServerName, words: &Words) -> BTreeMap<ServerName, Progress> {
    let fresh = Duration::from_millis(WORD_MS_MAX);
    let record = agreed.rotation.as_ref().filter(|record| record.server == *own);
    let direct = |server: &ServerName| agreed.relays.via(&Pair::new(own, server)).is_none();
    let there = words.iter().filter(|(server, heard)| heard.at.elapsed() <= fresh && direct(server));
    there
        .map(|(server, heard)| {
            let of_this = record.is_some()
                && Agreed::read(&heard.word.agreed.document).is_ok_and(|it| it.rotation.as_ref() == record);
            let progress = match heard.word.rotation.filter(|_| of_this) {
                None | Some(MeshProgress::Unaware) => Progress::Unaware,
                Some(MeshProgress::Prepared) => Progress::Prepared,
                Some(MeshProgress::Moved) => Progress::Moved,
            };
            (server.clone(), progress)
        })
        .collect()
}

/// How far this server has followed the replacement of another's key, by its interface as it is now.
pub(in crate::mesh) fn progress_of(
    agreed: &Agreed,
    desired: &DesiredInterface,
) -> Option<(Record, MeshProgress)> {
    let record = agreed.rotation.as_ref().filter(|record| record.server != desired.server)?;
    let new = desired.peers.iter().find(|peer| peer.public_key == record.new);
    let progress = match new {
        None => MeshProgress::Unaware,
        Some(peer) if peer.addresses.is_empty() => MeshProgress::Prepared,
        Some(_) => MeshProgress::Moved,
    };
    Some((record.clone(), progress))
}
