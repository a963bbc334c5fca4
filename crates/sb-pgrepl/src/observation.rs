use std::fmt;

use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier, TimelineId};
use serde::Deserialize;

use crate::SqlError;
use crate::session::Session;

/// The one query of a look.
const STATUS_SQL: &str = include_str!("status.sql");

/// What one look at PostgreSQL showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It answered.
    Answered(Box<Status>),
    /// It did not, which says nothing about its data: unknown is a value, not a default.
    Silent(Silence),
}

impl Observation {
    /// The status, if PostgreSQL answered.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Answered(status) => Some(status),
            Self::Silent(_) => None,
        }
    }
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody listens on the socket.
    NotRunning,
    /// It is starting or recovering and lets nobody in yet.
    Starting,
    /// It is shutting down.
    Stopping,
    /// No answer within the limit: hung, or too busy.
    Deadline,
    /// Another error, in words.
    Error(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("nobody listens on its socket"),
            Self::Starting => f.write_str("it is starting up"),
            Self::Stopping => f.write_str("it is shutting down"),
            Self::Deadline => f.write_str("it did not answer in time"),
            Self::Error(text) => f.write_str(text),
        }
    }
}

/// Whether a server writes its own WAL or replays another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read-write.
    Primary,
    /// In recovery.
    Standby,
}

/// PostgreSQL's state, all from one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its role at this moment.
    pub role: Role,
    /// The cluster it belongs to.
    pub system_identifier: SystemIdentifier,
    /// The end of its durable WAL with its lineage: on a primary what is flushed; on a standby max(received, replayed), and
    /// [`None`] while it still replays WAL of its own disk, because until then neither number is the end.
    pub position: Option<Position>,
    /// Standby: the end of the last whole record replayed.
    pub replayed: Option<Lsn>,
    /// Standby: up to where the receiver has flushed since the last start.
    pub received: Option<Lsn>,
    /// Standby: the startup process has replayed what is on disk and waits for more.
    pub waits_for_wal: bool,
    /// Standby: the same, and no receiver is asked for either: nobody is followed, or the upstream cannot be reached.
    pub receives_nothing: bool,
    /// Standby: a session or a lock holds up replay.
    pub replay_blocked: bool,
    /// Standby: replay is paused by `pg_wal_replay_pause` or by a setting too low.
    pub replay_paused: bool,
    /// Standby: the receiver's process, if there is one.
    pub receiver: Option<Receiver>,
    /// Standbys (and base backups) that stream from here.
    pub senders: Vec<Sender>,
    /// `synchronous_standby_names` in force.
    pub synchronous_standby_names: String,
    /// Settings that wait for a restart.
    pub pending_restart: Vec<String>,
}

impl Status {
    /// The position up to the last whole record: what [`crate::repair_plan`] compares. A standby may have received the
    /// first bytes of a record whose rest it never gets; those bind nobody.
    #[must_use]
    pub fn whole_records(&self) -> Option<Position> {
        let position = self.position.clone()?;
        let flushed = self.replayed.unwrap_or(position.flushed);
        Some(Position { flushed, ..position })
    }
}

/// The WAL receiver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Receiver {
    /// Its process id.
    pub pid: i32,
    /// `streaming`, `waiting`, `starting`, ...: PostgreSQL's word.
    pub status: String,
    /// The upstream's name (`host` of `primary_conninfo`), once connected.
    pub upstream: Option<String>,
    /// The slot in use.
    pub slot: Option<String>,
}

/// A WAL sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Sender {
    /// The receiving server's name.
    pub application_name: String,
    /// `streaming`, `catchup`, `backup`, ...: PostgreSQL's word.
    pub state: String,
    /// Up to where the receiver says it has flushed.
    pub flushed: Option<Lsn>,
    /// Up to where the receiver says it has replayed.
    pub replayed: Option<Lsn>,
    /// `async`, `potential`, `sync`, `quorum`: PostgreSQL's word.
    pub sync_state: String,
    /// By what its own process has loaded: 0 when commits do not wait for it, its place in the list of `FIRST`, always 1
    /// with `ANY`.
    pub sync_priority: i32,
}

/// The answer to [`STATUS_SQL`].
#[derive(Deserialize)]
struct Raw {
    recovering: bool,
    system_identifier: SystemIdentifier,
    received: Option<Lsn>,
    replayed: Option<Lsn>,
    flushed: Option<Lsn>,
    startup_waits_for: Option<String>,
    replay_blocked: bool,
    replay_paused: bool,
    timeline: Option<TimelineId>,
    history: Option<String>,
    receiver: Option<Receiver>,
    senders: Vec<Sender>,
    synchronous_standby_names: String,
    pending_restart: Vec<String>,
}

impl Session {
    /// One look.
    pub(crate) async fn status(&mut self) -> Result<Status, SqlError> {
        let action = "ask for the status";
        let text: String = self.cached(action, STATUS_SQL).await?;
        let raw: Raw = serde_json::from_str(&text)
            .map_err(|error| SqlError::Answer { action, detail: error.to_string() })?;
        Ok(raw.into())
    }
}

impl From<Raw> for Status {
    fn from(raw: Raw) -> Self {
        let position = raw.position();
        let waits_for_wal = raw.waits_for_wal();
        let receives_nothing = raw.receives_nothing();
        Self {
            role: if raw.recovering { Role::Standby } else { Role::Primary },
            system_identifier: raw.system_identifier,
            position,
            replayed: raw.replayed,
            received: raw.received,
            waits_for_wal,
            receives_nothing,
            replay_blocked: raw.replay_blocked,
            replay_paused: raw.replay_paused,
            receiver: raw.receiver,
            senders: raw.senders,
            synchronous_standby_names: raw.synchronous_standby_names,
            pending_restart: raw.pending_restart,
        }
    }
}

impl Raw {
    fn position(&self) -> Option<Position> {
        let (flushed, timeline) = (self.flushed?, self.timeline?);
        // The receiver is started only once the disk's own WAL is replayed, so its number says as much.
        let at_end = !self.recovering || self.received.is_some() || self.waits_for_wal();
        let lineage = match (timeline, &self.history) {
            (TimelineId::FIRST, _) => Lineage::first(),
            (_, Some(history)) => Lineage::parse_history(timeline, history).ok()?,
            (_, None) => return None,
        };
        at_end.then_some(Position { lineage, flushed })
    }

    /// While a receiver runs, or is about to be made, the startup process waits for its stream instead.
    fn receives_nothing(&self) -> bool {
        self.receiver.is_none() && self.startup_waits_for.as_deref() == Some("RecoveryRetrieveRetryInterval")
    }

    /// The wait events in which the startup process has nothing left to replay (manual, tables 28.5 and 28.9).
    fn waits_for_wal(&self) -> bool {
        matches!(
            self.startup_waits_for.as_deref(),
            Some("RecoveryWalStream" | "RecoveryRetrieveRetryInterval")
        )
    }
}
