//! The clients of a run: each sits at another site, holds a session to whichever server accepts writes, and notes all
//! that it asks.

mod choice;
mod client;
mod deed;
mod judge;
mod notices;
mod tables;

use std::io;
use std::os::fd::AsFd;
use std::thread::JoinHandle;

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::history::{History, Operation, RunClock};
use crate::lab::Lab;
use crate::namespace;
use crate::place::Place;
use crate::recorder::{Need, Standing, watch_server};
use choice::{Appended, Choice};
use client::Client;

pub use tables::{ACCOUNTS, BALANCE, Contents, create, read};

/// Clients at work.
#[derive(Debug)]
pub struct Workload {
    stop: watch::Sender<bool>,
    acknowledged: watch::Receiver<u64>,
    finder: JoinHandle<()>,
    clients: Vec<JoinHandle<Vec<Operation>>>,
}

impl Workload {
    /// Starts so many clients, in the office and at the servers' own sites in turn.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(lab: &Lab, clients: u32, seed: u64, clock: RunClock) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let (counter, acknowledged) = watch::channel(0);
        let (need, needed) = watch::channel(Need::Hunting);
        let (finder, standings) = find_primary(lab, needed, stopped.clone())?;
        let appended = Appended::default();
        // The office first, and the first server last: it is the office's neighbour.
        let seats =
            std::iter::once(Place::OFFICE).chain(Place::servers().skip(1)).chain(Place::servers().take(1));
        let seats = seats.collect::<Vec<_>>();
        let start = |(number, place): (u32, &Place)| {
            let client = Client {
                number,
                clients,
                place: *place,
                access: lab.access(),
                choice: Choice::new(seed, number, appended.clone()),
                clock,
                standings: standings.clone(),
                need: need.clone(),
                acknowledged: counter.clone(),
                stop: stopped.clone(),
            };
            in_place(lab, *place, "lab-client", || client.run())
        };
        let clients = (0..clients).zip(seats.iter().cycle()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { stop, acknowledged, finder, clients })
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Ends the clients, at the latest ten seconds after an operation that nobody answers, and returns all that they
    /// asked.
    #[must_use]
    pub fn finish(self) -> History {
        self.stop.send_replace(true);
        let kept = self.clients.into_iter().map(|client| {
            client.join().unwrap_or_else(|_| {
                tracing::error!("a client of the run panicked; what it asked is not known");
                Vec::new()
            })
        });
        let history = History::new(kept.flatten().collect());
        let _ = self.finder.join();
        history
    }
}

/// What somebody knows of each server.
type Standings = Vec<(Place, watch::Receiver<Standing>)>;

/// Watches every server from the office, whose line no fault cuts.
fn find_primary(
    lab: &Lab,
    need: watch::Receiver<Need>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<(JoinHandle<()>, Standings)> {
    let (senders, standings): (Vec<_>, Standings) = Place::servers()
        .map(|place| {
            let (sender, seen) = watch::channel(Standing::Silent);
            ((place, sender), (place, seen))
        })
        .unzip();
    let access = lab.access();
    let thread = in_place(lab, Place::OFFICE, "lab-finder", move || async move {
        for (place, standing) in senders {
            tokio::task::spawn_local(watch_server(access.clone(), place, standing, need.clone()));
        }
        // An error means that nobody is left who could say so.
        let _ = stop.wait_for(|stop| *stop).await;
    })?;
    Ok((thread, standings))
}

/// Runs work on a thread of its own in a place of the lab.
fn in_place<T, W>(
    lab: &Lab,
    place: Place,
    name: &str,
    work: impl FnOnce() -> W + Send + 'static,
) -> io::Result<JoinHandle<T>>
where
    T: Default + Send + 'static,
    W: Future<Output = T>,
{
    let namespace = lab.network().namespace(place).handle()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.into()).spawn(move || {
        if let Err(error) = namespace::enter(namespace.as_fd()) {
            tracing::error!(%error, "a client could not go to its place");
            return T::default();
        }
        LocalSet::new().block_on(&runtime, work())
    })
}
