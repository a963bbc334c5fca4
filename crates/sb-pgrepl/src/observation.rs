use std::fmt;

use sb_pgtypes::{Lsn, Position, SystemIdentifier};
use serde::Deserialize;

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
}
