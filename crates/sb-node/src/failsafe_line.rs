//! The line between a primary without a store and those who could take over (R10): questions go out, answers come
//! back, and neither touches the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sb_api::{FailsafeReason, FailsafeReply, FailsafeRequest};
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_failover::{
    AskId, Event, FailsafeAnswer, FailsafeQuestion, FailsafeRefusal, Incarnation, Round, Seq, Term,
};
use sb_topology::{ServerName, Topology};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::membership::peer_address;

/// Longest wait for one member's answer, in milliseconds. A later one could not count any more.
const ANSWER_MS_MAX: u64 = 3_000;

/// Most questions of this server that are out at a time.
const QUESTIONS_OUT_MAX: usize = 64;

/// Most questions to this server that wait for its machine.
const QUESTIONS_IN_MAX: usize = 16;

/// Asks, and is asked.
#[derive(Clone)]
pub struct FailsafeLine {
    inner: Arc<Inner>,
}

struct Inner {
    topology: Arc<Topology>,
    credentials: Arc<Credentials>,
    events: mpsc::Sender<Event>,
    places: Arc<Semaphore>,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<AskId, oneshot::Sender<FailsafeAnswer>>>,
}

impl FailsafeLine {
    /// A line to the other servers of `topology`; what is heard goes to `events`.
    #[must_use]
    pub fn new(topology: Arc<Topology>, credentials: Arc<Credentials>, events: mpsc::Sender<Event>) -> Self {
        let inner = Inner {
            topology,
            credentials,
            events,
            places: Arc::new(Semaphore::new(QUESTIONS_OUT_MAX)),
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Asks each of `members`. Only what they answer is told; a member that cannot be reached has not answered.
    pub fn ask(&self, round: Round, members: &BTreeSet<ServerName>, question: &FailsafeQuestion) {
        for member in members {
            let Ok(place) = self.inner.places.clone().try_acquire_owned() else {
                tracing::warn!(%member, "too many questions of the failsafe are unanswered");
                return;
            };
            let (line, member, question) = (self.clone(), member.clone(), question.clone());
            tokio::spawn(async move {
                let _place = place;
                if let Some(answer) = line.call(&member, &question).await {
                    let event = Event::FailsafeAnswered { round, from: member, answer };
                    let _ = line.inner.events.send(event).await;
                }
            });
        }
    }

    async fn call(&self, member: &ServerName, question: &FailsafeQuestion) -> Option<FailsafeAnswer> {
        let server = self.inner.topology.server(member)?;
        let target = Target::peer(member.clone(), peer_address(server), &self.inner.credentials).ok()?;
        let limit = Duration::from_millis(ANSWER_MS_MAX);
        match Client::new(target).deadline(limit).failsafe(&into_request(question)).await {
            Ok(reply) => Some(from_reply(reply)),
            Err(error) => {
                tracing::debug!(%member, %error, "no answer to the failsafe's question");
                None
            }
        }
    }

    /// Hears the question of `peer` and gives the machine's answer. A peer asks for itself only.
    pub async fn hear(&self, peer: &ServerName, request: FailsafeRequest) -> FailsafeReply {
        let busy = FailsafeReply::No { reason: FailsafeReason::Busy };
        let ask = AskId::new(self.inner.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.inner.waiting.lock().expect("nothing panics while it is held");
            waiting.retain(|_, asker| !asker.is_closed());
            if waiting.len() >= QUESTIONS_IN_MAX {
                return busy;
            }
            waiting.insert(ask, sender);
        }
        let question = into_question(peer, request);
        if self.inner.events.try_send(Event::FailsafeAsked { ask, question }).is_err() {
            return busy;
        }
        let limit = Duration::from_millis(ANSWER_MS_MAX);
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(answer)) => into_reply(answer),
            Ok(Err(_)) | Err(_) => busy,
        }
    }

    /// The machine's answer to a question.
    pub fn answer(&self, ask: AskId, answer: FailsafeAnswer) {
        let asker = self.inner.waiting.lock().expect("nothing panics while it is held").remove(&ask);
        if let Some(asker) = asker {
            // Who asked may have gone; then the promise stands and nobody counts on it.
            let _ = asker.send(answer);
        }
    }
}

fn into_request(question: &FailsafeQuestion) -> FailsafeRequest {
    FailsafeRequest {
        incarnation: question.incarnation.get(),
        term: question.term.get(),
        seq: question.seq.get(),
        admissions: question.admissions,
        ttl_ms: question.ttl_ms,
        position: question.position.clone(),
    }
}

fn into_question(peer: &ServerName, request: FailsafeRequest) -> FailsafeQuestion {
    FailsafeQuestion {
        holder: peer.clone(),
        incarnation: Incarnation::new(request.incarnation),
        term: Term::new(request.term),
        seq: Seq::new(request.seq),
        admissions: request.admissions,
        ttl_ms: request.ttl_ms,
        position: request.position,
    }
}

fn into_reply(answer: FailsafeAnswer) -> FailsafeReply {
    let reason = match answer {
        FailsafeAnswer::Yes => return FailsafeReply::Yes,
        FailsafeAnswer::No(FailsafeRefusal::Unknowing) => FailsafeReason::Unknowing,
        FailsafeAnswer::No(FailsafeRefusal::NotHolder { term }) => {
            FailsafeReason::NotHolder { term: term.get() }
        }
        FailsafeAnswer::No(FailsafeRefusal::NewerMembers) => FailsafeReason::NewerMembers,
        FailsafeAnswer::No(FailsafeRefusal::Promised { term, seq }) => {
            FailsafeReason::Promised { term: term.get(), seq: seq.get() }
        }
        FailsafeAnswer::No(FailsafeRefusal::TooLong { ttl_ms }) => FailsafeReason::TooLong { ttl_ms },
        FailsafeAnswer::No(FailsafeRefusal::NotStored) => FailsafeReason::NotStored,
        FailsafeAnswer::No(FailsafeRefusal::Busy) => FailsafeReason::Busy,
    };
    FailsafeReply::No { reason }
}

const fn from_reply(reply: FailsafeReply) -> FailsafeAnswer {
    let FailsafeReply::No { reason } = reply else {
        return FailsafeAnswer::Yes;
    };
    FailsafeAnswer::No(match reason {
        FailsafeReason::Unknowing => FailsafeRefusal::Unknowing,
        FailsafeReason::NotHolder { term } => FailsafeRefusal::NotHolder { term: Term::new(term) },
        FailsafeReason::NewerMembers => FailsafeRefusal::NewerMembers,
        FailsafeReason::Promised { term, seq } => {
            FailsafeRefusal::Promised { term: Term::new(term), seq: Seq::new(seq) }
        }
        FailsafeReason::TooLong { ttl_ms } => FailsafeRefusal::TooLong { ttl_ms },
        FailsafeReason::NotStored => FailsafeRefusal::NotStored,
        FailsafeReason::Busy => FailsafeRefusal::Busy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_survives_the_wire() {
        let (term, seq) = (Term::new(3), Seq::new(9));
        for answer in [
            FailsafeAnswer::Yes,
            FailsafeAnswer::No(FailsafeRefusal::Unknowing),
            FailsafeAnswer::No(FailsafeRefusal::NotHolder { term }),
            FailsafeAnswer::No(FailsafeRefusal::NewerMembers),
            FailsafeAnswer::No(FailsafeRefusal::Promised { term, seq }),
            FailsafeAnswer::No(FailsafeRefusal::TooLong { ttl_ms: 7 }),
            FailsafeAnswer::No(FailsafeRefusal::NotStored),
            FailsafeAnswer::No(FailsafeRefusal::Busy),
        ] {
            let text = serde_json::to_string(&into_reply(answer.clone())).unwrap();
            assert_eq!(from_reply(serde_json::from_str(&text).unwrap()), answer, "{text}");
        }
    }
}
