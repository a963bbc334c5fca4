use sb_wireguard::PublicKey;
use sb_wireguard::rotation::Step;
use tokio::sync::{mpsc, oneshot, watch};

use super::owner::RotateError;

/// Orders that may wait.
const ORDERS_WAITING_MAX: usize = 4;

/// What a person wants of this server's key.
#[derive(Debug)]
pub(crate) enum Order {
    /// Replace it. Answered with the public half of the new one.
    Begin(oneshot::Sender<Result<PublicKey, RotateError>>),
    /// Leave it as it is.
    Abandon(oneshot::Sender<Result<(), RotateError>>),
}

/// Where the replacement of this server's key stands, for those who watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyStanding {
    /// The server's key; [`None`] before the first look.
    pub(crate) key: Option<PublicKey>,
    /// What goes on.
    pub(crate) going: Option<(PublicKey, Step)>,
    /// How long after the last swap the last of the servers that were there had a session with the new key, in milliseconds.
    pub(crate) sessions_ms: Option<u64>,
}

/// The way to whoever keeps this server's key; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct KeyLine {
    orders: mpsc::Sender<Order>,
    standing: watch::Sender<KeyStanding>,
}

impl KeyLine {
    /// The line, and where its orders come out.
    pub(in crate::mesh) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS_WAITING_MAX);
        (Self { orders, standing: watch::Sender::default() }, receiver)
    }

    /// Where the replacement stands, from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<KeyStanding> {
        self.standing.subscribe()
    }

    /// Has the key replaced; the public half of the new one. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn begin(&self) -> Option<Result<PublicKey, RotateError>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Begin(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Ends a replacement that has not swapped yet. [`None`] when nobody keeps the mesh any more.
    pub(crate) async fn abandon(&self) -> Option<Result<(), RotateError>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Abandon(reply)).await.ok()?;
        answer.await.ok()
    }

    pub(super) fn tell(&self, standing: KeyStanding) {
        self.standing.send_if_modified(|told| std::mem::replace(told, standing.clone()) != standing);
    }

    pub(super) fn told(&self) -> KeyStanding {
        self.standing.borrow().clone()
    }
}
