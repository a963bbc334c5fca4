//! One client: a session to whichever server accepts writes, one row after another.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;

use super::access::Access;
use super::finder::{Need, Standing, newest_primary};
use super::ledger::{Ledger, WriteId};
use crate::place::Place;

/// A write without an answer for so long is given up as unknown, when another server accepts writes.
const PATIENCE: Duration = Duration::from_millis(250);

/// A write without an answer for so long is given up in any case.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How often a writer without a primary looks whether there is one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The book, shared by the writers of one thread.
pub(super) type SharedLedger = Rc<RefCell<Ledger>>;

/// One client.
pub(super) struct Writer {
    pub(super) access: Access,
    pub(super) ledger: SharedLedger,
    /// What the finder knows of each server.
    pub(super) standings: Vec<(Place, watch::Receiver<Standing>)>,
    /// Tells the finder to hurry.
    pub(super) need: watch::Sender<Need>,
    /// Between two writes.
    pub(super) pause: Duration,
    /// Tells watchers how many writes were acknowledged.
    pub(super) count: watch::Sender<usize>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Writer {
    /// Writes until told to stop, or until the book is full.
    pub(super) async fn run(self) {
        while !self.stopped() {
            let Some(place) = newest_primary(&self.standings) else {
                self.need.send_replace(Need::Hunting);
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            match self.access.connect(place).await {
                Ok(session) => self.write_to(place, session).await,
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
            self.need.send_replace(Need::Hunting);
        }
    }

    /// Stays with one session for as long as it works.
    async fn write_to(&self, place: Place, mut session: PgConnection) {
        while !self.stopped() {
            let Some(id) = self.ledger.borrow_mut().send() else { return };
            let Some(at) = self.write(place, &mut session, id).await else { return };
            self.ledger.borrow_mut().acknowledge(id, at, place);
            self.count.send_replace(self.ledger.borrow().acknowledged());
            self.need.send_if_modified(|need| std::mem::replace(need, Need::Calm) != Need::Calm);
            tokio::time::sleep(self.pause).await;
        }
        let _ = tokio::time::timeout(PATIENCE, session.close()).await;
    }

    /// When the database has said that the row is committed; nothing when it did not say so.
    async fn write(&self, place: Place, session: &mut PgConnection, id: WriteId) -> Option<Instant> {
        let insert = sqlx::query("insert into show_build_lab values ($1)").bind(id.0);
        tokio::select! {
            answer = insert.execute(session) => answer.is_ok().then(Instant::now),
            () = self.given_up(place) => None,
        }
    }

    /// Returns when there is no point in waiting for this server any longer.
    async fn given_up(&self, place: Place) {
        let sent = Instant::now();
        tokio::time::sleep(PATIENCE).await;
        self.need.send_replace(Need::Hunting);
        while sent.elapsed() < WRITE_LIMIT
            && newest_primary(&self.standings).is_none_or(|found| found == place)
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}
