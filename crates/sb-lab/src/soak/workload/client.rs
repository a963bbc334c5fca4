//! One client: a session to whichever server accepts writes, one operation after another.

use std::cell::Cell;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};
use tokio::sync::watch;

use super::super::history::{OPERATIONS_OF_A_CLIENT_MAX, Operation, Outcome, RunClock};
use super::choice::Choice;
use super::deed::{perform, roll_back};
use super::judge::{Progress, Warning, judge};
use super::notices::Warned;
use crate::place::Place;
use crate::recorder::{Access, Need, Standing, newest_primary};

/// An operation without an answer for so long is given up, when another server accepts writes.
const PATIENCE: Duration = Duration::from_millis(250);

/// An operation without an answer for so long is given up in any case.
const OPERATION_LIMIT: Duration = Duration::from_secs(10);

/// How often a client without a primary looks whether there is one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Which server a session came to, and whether it takes writes: `target_session_attrs=read-write`.
const WHO_ARE_YOU: &str = "select host(inet_server_addr()),
    not pg_is_in_recovery() and not current_setting('transaction_read_only')::bool";

/// One client.
pub(super) struct Client {
    pub(super) number: u32,
    /// How many there are: processes of one client are so far apart.
    pub(super) clients: u32,
    /// Where it sits.
    pub(super) place: Place,
    pub(super) access: Access,
    pub(super) choice: Choice,
    pub(super) clock: RunClock,
    /// What is known of each server.
    pub(super) standings: Vec<(Place, watch::Receiver<Standing>)>,
    /// Asks for news in a hurry.
    pub(super) need: watch::Sender<Need>,
    pub(super) acknowledged: watch::Sender<u64>,
    pub(super) stop: watch::Receiver<bool>,
}

/// What a client keeps.
struct Book {
    operations: Vec<Operation>,
    process: u32,
}

impl Client {
    /// Works until told to stop, and returns all that it asked.
    pub(super) async fn run(mut self) -> Vec<Operation> {
        let warned = Warned::default();
        let _listening = warned.listen();
        let mut book = Book { operations: Vec::new(), process: self.number };
        while !self.stopped() && book.operations.len() < OPERATIONS_OF_A_CLIENT_MAX {
            match self.connect().await {
                Some((server, session)) => self.work(server, session, &warned, &mut book).await,
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
            self.need.send_replace(Need::Hunting);
        }
        book.operations
    }

    /// The servers of its connection string, of which one takes writes: the one that has told so last, then its own
    /// neighbour. What it is told only saves it the dead ones' timeouts; the session itself has to prove it.
    async fn connect(&self) -> Option<(Place, PgConnection)> {
        let newest = newest_primary(&self.standings);
        let own = (self.place != Place::OFFICE).then_some(self.place);
        for candidate in newest.into_iter().chain(own) {
            if let Ok(mut session) = self.access.connect(candidate).await
                && let Some(server) = read_write(&mut session).await
            {
                return Some((server, session));
            }
        }
        None
    }

    /// Stays with one session for as long as it works.
    async fn work(&mut self, server: Place, mut session: PgConnection, warned: &Warned, book: &mut Book) {
        while !self.stopped() && book.operations.len() < OPERATIONS_OF_A_CLIENT_MAX {
            let operation = self.ask(server, &mut session, warned, book.process).await;
            let outcome = operation.outcome.clone();
            if operation.acknowledged().is_some() {
                self.acknowledged.send_modify(|count| *count += 1);
                self.need.send_if_modified(|need| std::mem::replace(need, Need::Calm) != Need::Calm);
            }
            book.operations.push(operation);
            match outcome {
                Outcome::Ok => {}
                Outcome::Fail(_) => {
                    let rolled_back = tokio::time::timeout(PATIENCE, roll_back(&mut session)).await;
                    if !matches!(rolled_back, Ok(Ok(()))) || read_write(&mut session).await.is_none() {
                        return;
                    }
                }
                Outcome::Info(_) => {
                    book.process += self.clients;
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(self.choice.pause_ms())).await;
        }
        let _ = tokio::time::timeout(PATIENCE, session.close()).await;
    }

    async fn ask(
        &mut self,
        server: Place,
        session: &mut PgConnection,
        warned: &Warned,
        process: u32,
    ) -> Operation {
        let mut action = self.choice.action();
        let progress = Cell::new(Progress::Working);
        warned.take();
        let invoked = self.clock.now();
        let answer = tokio::select! {
            answer = perform(session, &mut action, &progress) => Some(answer),
            () = self.given_up(server) => None,
        };
        let ended = self.clock.now();
        let warning = if warned.take() { Warning::NotReplicated } else { Warning::None };
        let outcome = match (answer, progress.get()) {
            (Some(answer), progress) => judge(answer, progress, warning),
            (None, Progress::Working) => Outcome::Fail("given up before the commit".into()),
            (None, Progress::Committing) => Outcome::Info("no answer".into()),
        };
        Operation { process, action, outcome, invoked, ended, seat: self.place, server, term: None }
    }

    /// Returns when there is no point in waiting for this server any longer. A client on the server itself waits to
    /// the limit: whether that server still answers is what it is there to see.
    async fn given_up(&self, server: Place) {
        let sent = Instant::now();
        tokio::time::sleep(PATIENCE).await;
        self.need.send_replace(Need::Hunting);
        while sent.elapsed() < OPERATION_LIMIT
            && (self.place == server || newest_primary(&self.standings).is_none_or(|found| found == server))
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

/// The server of a session, when it takes writes.
async fn read_write(session: &mut PgConnection) -> Option<Place> {
    let row = tokio::time::timeout(PATIENCE * 2, session.fetch_one(WHO_ARE_YOU)).await.ok()?.ok()?;
    let address: String = row.get(0);
    let takes_writes: bool = row.get(1);
    let server = Place::servers().find(|place| place.address().to_string() == address)?;
    takes_writes.then_some(server)
}
