//! Looks at PostgreSQL again and again, and tells the failover machine.

use std::sync::Arc;
use std::time::Duration;

use sb_consensus::Applied;
use sb_failover::{
    Broken, ClusterRecord, DataDirectory, Event, Follower, Observation, Processes, Role, State,
};
use sb_pgrepl::{DataIdentity, Observer, Silence, Status};
use sb_topology::ServerName;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use crate::guard_link::{GuardLink, processes};
use crate::teller::Teller;

/// How often PostgreSQL is looked at while nothing changes, in milliseconds.
const QUIET_MS: u64 = 500;

/// How often while something is under way, in milliseconds.
const BUSY_MS: u64 = 50;

/// A state that has lasted this long is quiet, in milliseconds.
const LASTING_MS: u64 = 10_000;

/// Longest wait for one answer of PostgreSQL, in milliseconds.
const LOOK_MS_MAX: u64 = 1_000;

/// A standby that has not streamed for this long is looked into, in milliseconds.
const NOT_STREAMING_MS: u64 = 3_000;

/// A WAL receiver that has lived this long streams, in milliseconds. PostgreSQL says `streaming` from its first
/// moment on: one that connects in vain, again and again, over a long way says so half of the time.
const RECEIVER_SETTLED_MS: u64 = 2_000;

/// What was seen last, for the status.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// PostgreSQL's own words; [`None`] when it did not answer.
    pub status: Option<Status>,
    /// What the machine was told.
    pub observation: Option<Observation>,
}

/// What lies on the disk of a server without PostgreSQL's processes.
#[derive(Debug, Clone, Copy)]
struct Stopped {
    data: DataDirectory,
    broken: Option<Broken>,
}

/// Looks at one server's PostgreSQL.
pub struct Watcher {
    driver: Driver,
    guard: GuardLink,
    observer: Observer,
    teller: Arc<Teller>,
    state: watch::Receiver<State>,
    state_since: Instant,
    seen: watch::Sender<Seen>,
    local: Option<Stopped>,
    not_streaming_since: Option<Instant>,
    receiver: Option<(i32, Instant)>,
}

impl Watcher {
    /// A watcher that tells `events` and publishes what it sees.
    #[must_use]
    pub fn new(
        driver: Driver,
        guard: GuardLink,
        teller: Arc<Teller>,
        state: watch::Receiver<State>,
    ) -> (Self, watch::Receiver<Seen>) {
        let observer = Observer::new(driver.instance().clone());
        let (seen, receiver) = watch::channel(Seen::default());
        let watcher = Self {
            driver,
            guard,
            observer,
            teller,
            state,
            state_since: Instant::now(),
            seen,
            local: None,
            not_streaming_since: None,
            receiver: None,
        };
        (watcher, receiver)
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut record = self.driver.config.record.clone();
        let me = self.driver.config.me.name.clone();
        loop {
            let epoch = self.teller.epoch().await;
            let seen = self.look().await;
            let told = seen.observation.clone();
            self.seen.send_replace(seen);
            if let Some(observation) = told
                && !self.teller.seen(Event::Postgres(observation), epoch).await
            {
                self.local = None;
                continue;
            }
            let pause = self.pause();
            let is_named = self.is_to_be_primary();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.guard.changed() => {}
                () = self.driver.ended() => self.local = None,
                () = is_named_in(&mut record, &me), if !is_named => {}
                changed = self.state.changed() => match changed {
                    Ok(()) => self.state_since = Instant::now(),
                    Err(_) => return,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A state that lasts is quiet, whatever it is: without a majority a server may be frozen for hours. The receiver
    /// of a hand-over is not: it must have the end of the log, and writes are away until that is seen.
    fn pause(&self) -> Duration {
        if *self.state.borrow() == State::Following && self.is_to_be_primary() {
            return Duration::from_millis(BUSY_MS);
        }
        let lasts = self.state_since.elapsed() > Duration::from_millis(LASTING_MS);
        Duration::from_millis(if lasts || quiet(*self.state.borrow()) { QUIET_MS } else { BUSY_MS })
    }

    fn is_to_be_primary(&self) -> bool {
        let config = &self.driver.config;
        names(&config.record.borrow().view, &config.me.name)
    }

    async fn look(&mut self) -> Seen {
        let guard = self.guard.status().borrow().clone();
        if guard.as_ref().is_some_and(|status| processes(status) == Processes::Gone) {
            return Seen { status: None, observation: self.stopped().await };
        }
        self.local = None;
        match self.observer.observe(Duration::from_millis(LOOK_MS_MAX)).await {
            sb_pgrepl::Observation::Answered(status) => {
                let observation = self.answered(&status);
                Seen { status: Some(*status), observation: Some(observation) }
            }
            sb_pgrepl::Observation::Silent(silence) => {
                // Without the guard's word that nothing runs, silence proves nothing.
                let known = guard.is_some();
                Seen {
                    status: None,
                    observation: known.then(|| silent(&silence, self.last_data())).flatten(),
                }
            }
        }
    }

    /// No process of PostgreSQL: what lies on the disk.
    async fn stopped(&mut self) -> Option<Observation> {
        if self.local.is_none() {
            match self.driver.instance().data_identity().await {
                Ok(identity) => {
                    let data = match identity {
                        DataIdentity::Absent | DataIdentity::Unfinished(_) => DataDirectory::Absent,
                        DataIdentity::Present { system_identifier } => {
                            DataDirectory::Present(system_identifier)
                        }
                    };
                    self.local = Some(Stopped { data, broken: self.driver.broken_by_start() });
                }
                Err(error) => {
                    tracing::warn!(error = %super::driver::chain(&error), "cannot judge the data directory");
                    return None;
                }
            }
        }
        let Stopped { data, broken } = self.local?;
        Some(Observation { role: Role::Stopped, broken, ..nothing(data) })
    }

    fn answered(&mut self, status: &Status) -> Observation {
        let data = DataDirectory::Present(status.system_identifier);
        let role = match status.role {
            sb_pgrepl::Role::Primary => Role::Primary,
            sb_pgrepl::Role::Standby => Role::Standby,
        };
        let streaming_from = status.receiver.as_ref().filter(|r| r.status == "streaming").and_then(|r| {
            let upstream = r.upstream.as_ref()?;
            let by_name = upstream.parse::<ServerName>().ok();
            by_name.or_else(|| {
                super::desired::server_at(&self.driver.config.topology, upstream.parse().ok()?).cloned()
            })
        });
        let receiver = status.receiver.as_ref().filter(|_| streaming_from.is_some());
        let broken = self.broken(role, receiver.map(|r| r.pid));
        let followers = status.senders.iter().filter_map(|sender| {
            Some(Follower {
                server: sender.application_name.parse().ok()?,
                flushed: sender.flushed?,
                streaming: sender.state == "streaming",
            })
        });
        Observation {
            role,
            data,
            position: status.position.clone(),
            streaming_from,
            broken,
            followers: followers.collect(),
        }
    }

    /// Whether a standby that should stream never will by itself.
    fn broken(&mut self, role: Role, receiver: Option<i32>) -> Option<Broken> {
        let should = role == Role::Standby && *self.state.borrow() == State::Following;
        if !should || self.has_settled(receiver) {
            self.not_streaming_since = None;
            return None;
        }
        let since = *self.not_streaming_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Duration::from_millis(NOT_STREAMING_MS) {
            return None;
        }
        self.driver.instance().why_not_streaming().map(|why| match why {
            sb_pgrepl::NotStreaming::WalRemoved => Broken::WalRemoved,
            sb_pgrepl::NotStreaming::Diverged => Broken::Diverged,
        })
    }

    fn has_settled(&mut self, receiver: Option<i32>) -> bool {
        self.receiver = receiver.map(|pid| match self.receiver {
            Some((same, since)) if same == pid => (same, since),
            _ => (pid, Instant::now()),
        });
        let settled = Duration::from_millis(RECEIVER_SETTLED_MS);
        self.receiver.is_some_and(|(_, since)| since.elapsed() >= settled)
    }

    fn last_data(&self) -> DataDirectory {
        let seen = self.seen.borrow();
        seen.observation.as_ref().map_or(DataDirectory::Absent, |o| o.data)
    }
}

fn nothing(data: DataDirectory) -> Observation {
    Observation {
        role: Role::Unknown,
        data,
        position: None,
        streaming_from: None,
        broken: None,
        followers: Vec::new(),
    }
}

fn silent(silence: &Silence, data: DataDirectory) -> Option<Observation> {
    let role = match silence {
        Silence::NotRunning | Silence::Starting => Role::Starting,
        Silence::Stopping | Silence::Deadline | Silence::Error(_) => Role::Unknown,
    };
    Some(Observation { role, ..nothing(data) })
}

/// Whether nothing is under way in this state.
const fn quiet(state: State) -> bool {
    match state {
        State::Leading | State::Following | State::Parked | State::Waiting | State::Witnessing => true,
        State::Starting
        | State::Initializing
        | State::Repairing
        | State::Freezing
        | State::Frozen
        | State::Fetching
        | State::Claiming
        | State::Elected
        | State::Promoting
        | State::Recording
        | State::Restarting
        | State::Reopening
        | State::Draining
        | State::Fencing
        | State::Releasing => false,
    }
}

/// Whether a hand-over names `server`.
fn names(record: &ClusterRecord, server: &ServerName) -> bool {
    let asked = record.transfer.as_ref().and_then(|transfer| transfer.to.as_ref());
    let released = record.lease.as_ref().and_then(|lease| lease.released.as_ref()?.to.as_ref());
    asked == Some(server) || released == Some(server)
}

/// Returns when a hand-over names `server`; never, once there are no more records.
async fn is_named_in(record: &mut watch::Receiver<Applied<Arc<ClusterRecord>>>, server: &ServerName) {
    if record.wait_for(|applied| names(&applied.view, server)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
