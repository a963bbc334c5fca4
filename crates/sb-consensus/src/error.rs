use std::path::PathBuf;

use crate::limits::{ANCHOR_BYTES_MAX, PROPOSALS_IN_FLIGHT_MAX, REQUEST_BYTES_MAX};
use crate::{ChangeRejected, ConfigError, MemberError, MemberId, RestoreError};

/// Why a proposal has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It left this server, and nobody knows yet whether it was or will be applied. Never treat this as a failure.
    #[error("it is not known whether the request was applied: no answer within {within_ms} ms")]
    Ambiguous {
        /// The time that was given.
        within_ms: u64,
    },
    /// It never left this server: it was not applied and never will be.
    #[error("the request was not proposed: no leader was known within {within_ms} ms")]
    Unavailable {
        /// The time that was given.
        within_ms: u64,
    },
    /// Too many proposals of this member have no answer yet; this one was not proposed.
    #[error("the request was not proposed: {PROPOSALS_IN_FLIGHT_MAX} others have no answer yet")]
    Overloaded,
    /// The request is too large; it was not proposed.
    #[error("a request has at most {REQUEST_BYTES_MAX} bytes, not {bytes}")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// The whole record would become too large for etcd; the request was not proposed.
    #[error("the record would have {bytes} bytes, and etcd is given at most {ANCHOR_BYTES_MAX}")]
    RecordTooLarge {
        /// What the record's size would be.
        bytes: usize,
    },
    /// The request cannot be encoded as JSON; it was not proposed.
    #[error("cannot encode the request: {reason}")]
    Unencodable {
        /// What is wrong with it.
        reason: String,
    },
    /// The store had stopped before the call; the request was not proposed.
    #[error("the store has stopped")]
    Stopped,
}

/// Why a linearizable read has no answer. It can be asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No quorum confirmed the state in time.
    #[error("no quorum confirmed the state within {within_ms} ms")]
    Unavailable {
        /// The time that was given.
        within_ms: u64,
    },
    /// Too many reads wait already.
    #[error("too many reads wait for an answer")]
    Overloaded,
    /// The store has stopped.
    #[error("the store has stopped")]
    Stopped,
}

/// Why membership or leadership did not become what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Not seen applied in time. It may still happen; asking again is harmless.
    #[error("the change was not seen applied within {within_ms} ms")]
    Unavailable {
        /// The time that was given.
        within_ms: u64,
    },
    /// The change is against a rule of membership.
    #[error(transparent)]
    Rejected(#[from] ChangeRejected),
    /// Only a voter can lead.
    #[error("{0} is not a voter")]
    NotAVoter(MemberId),
    /// This backend has no such operation.
    #[error("this backend cannot do that")]
    Unsupported,
    /// The store has stopped.
    #[error("the store has stopped")]
    Stopped,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The own name or address is malformed.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// A new group was asked for where one has been.
    #[error("cannot bootstrap a new group: `{}` belongs to a group already", dir.display())]
    AlreadyBootstrapped {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is that of another server or group.
    #[error("`{}` belongs to `{found}`, not to `{expected}`", dir.display())]
    ForeignDirectory {
        /// The directory.
        dir: PathBuf,
        /// Name and group that it was made for.
        found: String,
        /// Name and group of the configuration.
        expected: String,
    },
    /// The directory is in use by another process.
    #[error("`{}` is in use by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// What is on disk cannot be trusted: entries that this member acknowledged may be lost.
    ///
    /// The member must not vote under its id again. Set log and snapshot aside, or the whole directory, and open it
    /// again: the server then joins as a new incarnation.
    #[error("`{}` is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
    /// The state machine cannot read its snapshot.
    #[error("cannot restore the state machine")]
    Restore(#[from] RestoreError),
    /// A file operation failed.
    #[error("could not {what} `{}`", path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file that says how etcd is to be reached cannot be used.
    #[error("cannot use `{}` towards etcd: {reason}", path.display())]
    EtcdAccess {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nobody to ask.
    #[error("no endpoint of etcd is given")]
    NoEtcdEndpoint,
    /// The Raft library refused the state.
    #[error("cannot start Raft: {reason}")]
    Raft {
        /// Its words.
        reason: String,
    },
}

/// Why an inbound connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The peer belongs to another group.
    #[error("`{peer}` belongs to the group `{theirs}`, this server to `{ours}`")]
    OtherCluster {
        /// The name that the transport vouches for.
        peer: String,
        /// Its group.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The peer says another name than its certificate.
    #[error("`{peer}` calls itself `{claimed}`")]
    OtherName {
        /// The name that the transport vouches for.
        peer: String,
        /// The name in its hello.
        claimed: String,
    },
    /// The peer's id was removed from the group.
    #[error("`{peer}` speaks as {id}, which was removed from the group")]
    Removed {
        /// Its name.
        peer: String,
        /// Its id.
        id: MemberId,
    },
    /// The peer sent something malformed.
    #[error("`{peer}` sent a malformed frame: {reason}")]
    Malformed {
        /// Its name.
        peer: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection from `{peer}` broke")]
    Io {
        /// Its name.
        peer: String,
        /// The cause.
        source: std::io::Error,
    },
    /// This backend has no peers.
    #[error("this backend has no peers")]
    Unsupported,
    /// The store has stopped.
    #[error("the store has stopped")]
    Stopped,
}
