//! What the other agents say about themselves, kept in memory.
//!
//! Nobody is asked while nobody looks: a look at the status wakes the asking for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sb_api::{ExplainQuery, Judgement, PeerStatus};
use sb_client::trust::Credentials;
use sb_client::{Client, Target};
use sb_topology::{Server, ServerName, Topology};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::membership::peer_address;

/// Between two rounds while somebody looks, in milliseconds.
const ROUND_MS: u64 = 500;

/// How long after a look the asking goes on, in milliseconds.
const AWAKE_MS: u64 = 5_000;

/// Longest wait for one peer's answer, in milliseconds.
const ANSWER_MS_MAX: u64 = 900;

/// Longest time that a look waits for fresh answers, in milliseconds.
const FRESH_MS_MAX: u64 = 1_000;

/// An answer older than this is no longer what a peer says now, in milliseconds.
pub const STALE_MS: u64 = 3_000;

/// The last word of one peer.
#[derive(Debug, Clone)]
pub struct Word {
    /// What it said.
    pub status: PeerStatus,
    /// When it was heard.
    pub heard: Instant,
    /// One round trip, measured as the time that a TCP connection takes.
    pub round_trip: Duration,
}

/// The last words of all peers.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    others: Vec<Server>,
    credentials: Arc<Credentials>,
    words: Mutex<BTreeMap<ServerName, Word>>,
    looked: Mutex<Option<Instant>>,
    wake: Notify,
    /// When the last round that has ended began.
    rounds: watch::Sender<Option<Instant>>,
}

impl Peers {
    /// Begins to be ready to ask the other servers of `topology`.
    #[must_use]
    pub fn spawn(
        topology: &Topology,
        me: &ServerName,
        credentials: Arc<Credentials>,
        stop: CancellationToken,
    ) -> Self {
        let (rounds, _) = watch::channel(None);
        let inner = Inner {
            others: topology.servers().filter(|s| s.name != *me).cloned().collect(),
            credentials,
            words: Mutex::default(),
            looked: Mutex::default(),
            wake: Notify::new(),
            rounds,
        };
        let peers = Self { inner: Arc::new(inner) };
        tokio::spawn(peers.clone().run(stop));
        peers
    }

    /// What a call to a peer is made with.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.inner.credentials.clone()
    }

    /// What each peer said last. Waits a moment for fresh words when nobody has looked lately.
    pub async fn look(&self) -> BTreeMap<ServerName, Word> {
        let before =
            self.inner.looked.lock().expect("nothing panics while it is held").replace(Instant::now());
        let awake = before.is_some_and(|at| at.elapsed() < Duration::from_millis(AWAKE_MS));
        if !awake {
            let mut rounds = self.inner.rounds.subscribe();
            self.inner.wake.notify_one();
            let _ = tokio::time::timeout(Duration::from_millis(FRESH_MS_MAX), rounds.changed()).await;
        }
        self.known()
    }

    /// What each peer that answers says from now on: for whom the words of a moment ago are not good enough.
    pub async fn look_afresh(&self) -> BTreeMap<ServerName, Word> {
        let now = Instant::now();
        *self.inner.looked.lock().expect("nothing panics while it is held") = Some(now);
        let mut rounds = self.inner.rounds.subscribe();
        self.inner.wake.notify_one();
        // A round that is under way ends first.
        let fresh = rounds.wait_for(|began| began.is_some_and(|at| at >= now));
        let _ = tokio::time::timeout(2 * Duration::from_millis(FRESH_MS_MAX), fresh).await;
        self.known()
    }

    /// What each peer said last, without asking.
    #[must_use]
    pub fn known(&self) -> BTreeMap<ServerName, Word> {
        self.inner.words.lock().expect("nothing panics while it is held").clone()
    }

    async fn run(self, stop: CancellationToken) {
        loop {
            if self.awake() {
                let began = Instant::now();
                self.round().await;
                self.inner.rounds.send_replace(Some(began));
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(ROUND_MS)), if self.awake() => {}
            }
        }
    }

    fn awake(&self) -> bool {
        let looked = *self.inner.looked.lock().expect("nothing panics while it is held");
        looked.is_some_and(|at| at.elapsed() < Duration::from_millis(AWAKE_MS))
    }

    /// How the peers that answer judged a succession.
    pub async fn judgements(&self, query: ExplainQuery) -> Vec<Judgement> {
        let limit = Duration::from_millis(ANSWER_MS_MAX);
        let mut asked = JoinSet::new();
        for server in &self.inner.others {
            let target = Target::peer(server.name.clone(), peer_address(server), &self.inner.credentials);
            asked.spawn(async move { Client::new(target.ok()?).deadline(limit).judged(query).await.ok()? });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }

    async fn round(&self) {
        let mut asked = JoinSet::new();
        for server in &self.inner.others {
            let (name, address) = (server.name.clone(), peer_address(server));
            let credentials = self.inner.credentials.clone();
            asked.spawn(async move {
                let limit = Duration::from_millis(ANSWER_MS_MAX);
                let round_trip = tokio::time::timeout(limit, round_trip(address)).await.ok()?.ok()?;
                let target = Target::peer(name.clone(), address, &credentials).ok()?;
                let status = Client::new(target).deadline(limit).peer_status().await.ok()?;
                Some((name, Word { status, heard: Instant::now(), round_trip }))
            });
        }
        while let Some(answered) = asked.join_next().await {
            if let Ok(Some((name, word))) = answered {
                self.inner.words.lock().expect("nothing panics while it is held").insert(name, word);
            }
        }
    }
}

/// The time from SYN to SYN-ACK.
pub async fn round_trip(address: SocketAddr) -> std::io::Result<Duration> {
    let begun = Instant::now();
    TcpStream::connect(address).await?;
    Ok(begun.elapsed())
}
