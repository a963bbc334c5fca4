use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sb_api::{MeshPeer, MeshPreshared, MeshStatus};
use sb_topology::ServerName;
use sb_wireguard::preshared::{Answer, Word};
use tokio::sync::{mpsc, oneshot, watch};

use super::PairFileError;

/// Orders that may wait.
const ORDERS_WAITING_MAX: usize = 64;

/// Something of a preshared key cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PresharedError {
    /// No new key is on its way that could be given up.
    #[error("no new preshared key of this server is on its way that could be given up")]
    NoneGoesOn,
    /// The disk refuses.
    #[error(transparent)]
    File(#[from] PairFileError),
}

/// What is wanted of this server's preshared keys.
pub(crate) enum Order {
    /// New ones with these servers, whose maker this one is. Answered with where they stand, also those under way.
    Begin(BTreeSet<ServerName>, Reply<Vec<MeshPreshared>>),
    /// Those with these servers that are not in force are given up.
    Abandon(BTreeSet<ServerName>, Reply<Vec<MeshPreshared>>),
    /// What is shared with this server is forgotten: it has lost it.
    Forget(ServerName, Reply<()>),
    /// This server, which is the maker, says so.
    Follow(ServerName, Word, Reply<Answer>),
    /// What came of a word to this server: its answer, or why there is none.
    Answered(ServerName, Result<Answer, String>),
}

/// The way back to who gave an order.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, PresharedError>>;

/// Where the pairs of this server stand, by the other server of each.
pub(crate) type PresharedStanding = BTreeMap<ServerName, Stand>;

/// Where one pair stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stand {
    /// As it is told, without the age.
    pub(crate) told: MeshPreshared,
    /// When the key that is kept was proven, by the wall clock since the Unix epoch.
    pub(crate) since: Option<Duration>,
}

/// The way to whoever keeps this server's preshared keys; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct PresharedLine {
    orders: mpsc::Sender<Order>,
    standing: watch::Sender<PresharedStanding>,
}

impl PresharedLine {
    /// The line, and where its orders come out.
    pub(in crate::mesh) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS_WAITING_MAX);
        (Self { orders, standing: watch::Sender::default() }, receiver)
    }

    /// Where the pairs stand now, without ages.
    pub(crate) fn told(&self) -> Vec<MeshPreshared> {
        self.standing.borrow().values().map(|stand| stand.told.clone()).collect()
    }

    /// Puts into the picture of the interface where the pairs stand, `now` by the wall clock since the Unix epoch.
    pub(in crate::mesh) fn tell_of(&self, status: &mut MeshStatus, now: Duration) {
        let standing = self.standing.borrow();
        let of = |peer: &MeshPeer| {
            standing.iter().find(|(name, _)| name.as_str() == peer.name).map(|(_, stand)| stand.told_at(now))
        };
        for peer in &mut status.peers {
            peer.preshared = of(peer);
        }
    }

    /// Has new keys made with `with`. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn begin(
        &self,
        with: BTreeSet<ServerName>,
    ) -> Option<Result<Vec<MeshPreshared>, PresharedError>> {
        self.ask(|reply| Order::Begin(with, reply)).await
    }

    /// Gives those with `with` up that are not in force. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn abandon(
        &self,
        with: BTreeSet<ServerName>,
    ) -> Option<Result<Vec<MeshPreshared>, PresharedError>> {
        self.ask(|reply| Order::Abandon(with, reply)).await
    }

    /// Forgets what is shared with `peer`. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn forget(&self, peer: ServerName) -> Option<Result<(), PresharedError>> {
        self.ask(|reply| Order::Forget(peer, reply)).await
    }

    /// Follows the word of `maker`; the answer is what is on disk. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn follow(
        &self,
        maker: ServerName,
        word: Word,
    ) -> Option<Result<Answer, PresharedError>> {
        self.ask(|reply| Order::Follow(maker, word, reply)).await
    }

    /// Notes what came of a word.
    pub(super) async fn note_answer(&self, taker: ServerName, answer: Result<Answer, String>) {
        // Whoever does not keep the mesh any more needs no answer.
        let _ = self.orders.send(Order::Answered(taker, answer)).await;
    }

    pub(super) fn tell(&self, standing: PresharedStanding) {
        self.standing.send_if_modified(|told| std::mem::replace(told, standing.clone()) != standing);
    }

    async fn ask<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Option<Result<T, PresharedError>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}
