//! A thread of clients in one place of the lab.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::access::{Access, Way};
use super::finder::{Need, Standing, watch_server};
use super::ledger::Ledger;
use super::writer::Writer;
use crate::namespace;
use crate::network::Network;
use crate::place::Place;

/// Who writes, where from, and where to.
#[derive(Debug, Clone)]
pub struct RecorderPlan {
    /// Where the clients sit.
    pub from: Place,
    /// The servers they know.
    pub targets: Vec<Place>,
    /// How many clients there are.
    pub writers: usize,
    /// Between two writes of one client.
    pub pause: Duration,
    /// How they get to a server.
    pub way: Way,
}

impl RecorderPlan {
    /// Two clients in the office who know every server and write 50 rows a second together.
    #[must_use]
    pub fn office() -> Self {
        Self {
            from: Place::OFFICE,
            targets: Place::servers().collect(),
            writers: 2,
            pause: Duration::from_millis(40),
            way: Way::Direct,
        }
    }

    /// One client on a server itself that knows nobody else: no cut link takes its session away.
    #[must_use]
    pub fn on_the_server(server: Place) -> Self {
        let pause = Duration::from_millis(10);
        Self { from: server, targets: vec![server], writers: 1, pause, way: Way::Direct }
    }

    /// The same over the server's proxy: wherever the primary is, this client finds it at one address.
    #[must_use]
    pub fn behind_the_proxy(server: Place) -> Self {
        Self { way: Way::Proxy, ..Self::on_the_server(server) }
    }
}

/// Clients at work.
#[derive(Debug)]
pub struct Recorder {
    stop: watch::Sender<bool>,
    count: watch::Receiver<usize>,
    thread: JoinHandle<Ledger>,
}

impl Recorder {
    /// Starts the clients on a thread of their own.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(network: &Network, access: Access, plan: RecorderPlan) -> io::Result<Self> {
        let namespace = network.namespace(plan.from).handle()?;
        let access = Access { way: plan.way, ..access };
        let (stop, stopped) = watch::channel(false);
        let (counter, count) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("lab-clients".into()).spawn(move || {
            if let Err(error) = namespace::enter(namespace.as_fd()) {
                tracing::error!(%error, "the clients could not go to their place");
                return Ledger::new();
            }
            LocalSet::new().block_on(&runtime, write_until_stopped(&access, &plan, &counter, &stopped))
        })?;
        Ok(Self { stop, count, thread })
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        *self.count.borrow()
    }

    /// Follows that number.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<usize> {
        self.count.clone()
    }

    /// Ends the clients, at the latest ten seconds after a write that nobody answers, and returns their book.
    #[must_use]
    pub fn finish(self) -> Ledger {
        self.stop.send_replace(true);
        self.thread.join().unwrap_or_default()
    }
}

async fn write_until_stopped(
    access: &Access,
    plan: &RecorderPlan,
    count: &watch::Sender<usize>,
    stop: &watch::Receiver<bool>,
) -> Ledger {
    let ledger = Rc::new(RefCell::new(Ledger::new()));
    let (need, needed) = watch::channel(Need::Hunting);
    let mut standings = Vec::new();
    for place in &plan.targets {
        let (standing, seen) = watch::channel(Standing::Silent);
        tokio::task::spawn_local(watch_server(access.clone(), *place, standing, needed.clone()));
        standings.push((*place, seen));
    }
    let writers: Vec<_> = (0..plan.writers)
        .map(|_| Writer {
            access: access.clone(),
            ledger: Rc::clone(&ledger),
            standings: standings.clone(),
            need: need.clone(),
            pause: plan.pause,
            count: count.clone(),
            stop: stop.clone(),
        })
        .map(|writer| tokio::task::spawn_local(writer.run()))
        .collect();
    for writer in writers {
        if let Err(error) = writer.await {
            tracing::error!(%error, "a client of the lab ended early");
        }
    }
    // Watchers may still hold a standing each, never the book.
    ledger.take()
}
