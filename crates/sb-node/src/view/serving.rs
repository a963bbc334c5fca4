//! What clients may do on this server, for the proxies of all.

use std::sync::Arc;
use std::time::Duration;

use sb_api::{SERVING_WAIT_MS_MAX, Serving, ServingQuery, ServingWord};
use sb_failover::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Agent;
use crate::http::{AgentView, Serves};
use crate::proxy::{Known, ProxyLine};

impl Agent {
    /// What goes on for the proxy, by name.
    pub fn proxy_parts(
        self: &Arc<Self>,
        stop: &CancellationToken,
    ) -> [(&'static str, futures_util::future::BoxFuture<'static, ()>); 3] {
        let line: Arc<ProxyLine> = self.proxy.clone();
        let (knowing, known) = watch::channel(Known::default());
        let serving = line.clone().serve(known, self.journal.clone(), self.troubles.clone(), stop.clone());
        [
            ("the proxy", Box::pin(serving)),
            ("the proxy's ear", Box::pin(line.listen(stop.clone()))),
            ("the word for proxies", Box::pin(self.clone().tell_proxies(knowing, stop.clone()))),
        ]
    }

    pub(super) async fn serving_word(&self, query: &ServingQuery) -> ServingWord {
        let mut own = self.proxy.own();
        let wait = Duration::from_millis(query.wait_ms.min(SERVING_WAIT_MS_MAX));
        let other = own.wait_for(|word| word.gist() != query.seen);
        if let Ok(Ok(word)) = tokio::time::timeout(wait, other).await {
            return *word;
        }
        *self.proxy.own().borrow()
    }

    /// Says what clients may do here whenever it changes, and hands on what the record says.
    async fn tell_proxies(self: Arc<Self>, knowing: watch::Sender<Known>, stop: CancellationToken) {
        let (mut turn, mut seen) = (self.turn.clone(), self.seen.clone());
        let mut records = self.store.watch();
        loop {
            self.proxy.say(self.word_for_proxies());
            let known = self.known();
            knowing.send_if_modified(|before| {
                let differs = before.term != known.term || before.given_up != known.given_up;
                *before = known;
                differs
            });
            let changed = tokio::select! {
                () = stop.cancelled() => return,
                changed = turn.changed() => changed.is_ok(),
                changed = seen.changed(), if self.me.has_postgres() => changed.is_ok(),
                changed = records.changed() => changed.is_ok(),
            };
            if !changed {
                return stop.cancelled().await;
            }
        }
    }

    fn known(&self) -> Known {
        let record = self.record();
        Known {
            term: record.lease.as_ref().map_or(0, |lease| lease.term.get()),
            given_up: record.branch.given_up.clone(),
        }
    }

    fn word_for_proxies(&self) -> ServingWord {
        let record = self.record();
        let term = record.lease.as_ref().map(|lease| lease.term.get());
        ServingWord { term, serving: self.own_serving() }
    }

    /// The term is the guard's: the record may know of a newer one that the machine has not heard of yet.
    fn own_serving(&self) -> Serving {
        let armed = self.guard.status().borrow().as_ref().and_then(|status| status.armed);
        let term = armed.map(|armed| armed.term.get());
        let serves = self.health().serves;
        let seen = self.seen.borrow();
        let status = seen.status.as_ref();
        match (serves, term) {
            (Serves::Writes, Some(term)) => Serving::Writes { term },
            (Serves::Reads, _) => {
                let streams = seen.observation.as_ref().is_some_and(|it| it.streaming_from.is_some());
                let lag = self.lag(status.and_then(|status| status.replayed)).filter(|_| streams);
                lag.map_or(Serving::Nothing, |lag_bytes| Serving::Reads { lag_bytes })
            }
            (Serves::Nothing, Some(term)) if self.is_draining(status) => Serving::Closing { term },
            (Serves::Writes | Serves::Nothing, _) => Serving::Nothing,
        }
    }

    /// Whether PostgreSQL is about to be stopped for a hand-over, and still primary.
    fn is_draining(&self, status: Option<&sb_pgrepl::Status>) -> bool {
        let primary = status.is_some_and(|status| status.role == sb_pgrepl::Role::Primary);
        primary && self.state() == Some(State::Draining) && self.lease_holds()
    }
}
