use sb_pgtypes::{Lineage, Position, SystemIdentifier};
use sb_topology::{NotAutomatic, ServerName};
use serde::{Deserialize, Serialize};

use super::{Automatic, Durability, Member, Pause, Proof, Recovery, SyncRecord, Transfer, TransferId};
use crate::{Incarnation, RenewalNumber, Seq, Session, Term, Timings};

/// A change of the record, as one entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The founder made a database: term 1 is its. Once in a cluster's life.
    Initialize {
        /// The founder, which has registered.
        by: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The data's number.
        system_identifier: SystemIdentifier,
        /// The data's lineage.
        lineage: Lineage,
        /// The number of the lease's first grant.
        renewal: RenewalNumber,
        /// How long that holds.
        ttl_ms: u64,
        /// What a commit shall wait for.
        durability: Durability,
        /// n of `ANY n (S)`; 0 for [`Durability::Async`].
        number: usize,
        /// The bound of automatic asynchronous failover.
        lag_bytes_max: u64,
        /// Whether a server may take over without a person's word.
        #[serde(default)]
        automatic: Automatic,
    },
    /// A server tells what it is.
    Register {
        /// Its name.
        server: ServerName,
        /// What it is.
        member: Member,
    },
    /// A server is gone for good.
    Remove {
        /// Its name.
        server: ServerName,
    },
    /// The holder goes on.
    Renew {
        /// The holder.
        holder: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its term.
        term: Term,
        /// Larger than that of anything it said before.
        renewal: RenewalNumber,
        /// How long the renewal holds.
        ttl_ms: u64,
        /// Where its log ends, if it knows.
        position: Option<Position>,
        /// Up to which admission it knows the members ([`super::ClusterRecord::admissions`]).
        admissions: u64,
    },
    /// A frozen standby's promise and position.
    Report {
        /// The standby.
        server: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The lease's term.
        term: Term,
        /// The lease's seq.
        seq: Seq,
        /// The position that no longer moves.
        position: Position,
    },
    /// Expiry, election and acquisition in one entry.
    Takeover {
        /// The new holder, whose promise for (term, seq) is durable.
        by: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// The term that ends.
        expect_term: Term,
        /// The last renewal of it.
        expect_seq: Seq,
        /// The number of the new lease's first grant.
        renewal: RenewalNumber,
        /// How long that holds.
        ttl_ms: u64,
        /// Where the new holder's log ends.
        position: Position,
        /// Why it may.
        proof: Proof,
    },
    /// The holder gives the lease back: proven, none of its backends is left.
    Release {
        /// The holder.
        holder: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its term.
        term: Term,
        /// Larger than that of anything it said before.
        renewal: RenewalNumber,
        /// The end of its log after a clean shutdown.
        end: Option<Position>,
        /// Who shall go first.
        to: Option<ServerName>,
    },
    /// The holder's promotion is complete.
    Promoted {
        /// The holder.
        holder: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its term.
        term: Term,
        /// The lineage from here on.
        lineage: Lineage,
    },
    /// The holder changes the synchronous state by one allowed step.
    SetSync {
        /// The holder.
        holder: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its term.
        term: Term,
        /// The state that the step starts from.
        expect: SyncRecord,
        /// The state after it.
        sync: SyncRecord,
    },
    /// No automatic failover for a while.
    SetPause {
        /// The pause.
        pause: Pause,
    },
    /// The pause is over, or is ended by a person.
    ClearPause {
        /// Which pause.
        id: u64,
    },
    /// A person wants another primary.
    RequestTransfer {
        /// The wish.
        transfer: Transfer,
    },
    /// The wish is withdrawn or refused.
    CancelTransfer {
        /// Which.
        id: TransferId,
    },
    /// A new topology.
    SetTopology {
        /// The generation it was made from.
        expect_generation: u64,
        /// The document.
        document: String,
        /// What it says about automatic failover.
        #[serde(default)]
        automatic: Automatic,
    },
    /// New times, and the bound of automatic asynchronous failover.
    SetTimings {
        /// The times.
        timings: Timings,
        /// The bound.
        lag_bytes_max: u64,
    },
    /// A person wants another promise. What is weaker holds at once, what is stronger when its set has formed.
    SetDurability {
        /// The promise.
        durability: Durability,
        /// n; 0 for [`Durability::Async`].
        number: usize,
    },
    /// The store's majority was lost for good, and this is the first entry of the store that comes after it.
    Recover {
        /// What a person decided.
        recovery: Recovery,
    },
    /// A person lets a server that was given up back in.
    Readmit {
        /// Its name.
        server: ServerName,
    },
    /// The holder may have used the number that its takeover reserved, and needs another for its promotion.
    ReserveTimeline {
        /// The holder.
        holder: ServerName,
        /// Its incarnation.
        incarnation: Incarnation,
        /// Its term.
        term: Term,
        /// This run of its agent.
        session: Session,
    },
    /// Another agreement about the network between the servers.
    SetMesh {
        /// The generation it was made from.
        expect_generation: u64,
        /// The document.
        document: String,
    },
}

/// What an entry of the log did.
pub type Outcome = Result<(), Rejection>;

/// Why an entry of the log changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Rejection {
    /// `Initialize` comes once.
    #[error("the cluster is initialized already")]
    AlreadyInitialized,
    /// Nothing but members can be changed before `Initialize`.
    #[error("the cluster is not initialized")]
    NotInitialized,
    /// The server is not a member.
    #[error("`{server}` is not a member")]
    UnknownMember {
        /// The server.
        server: ServerName,
    },
    /// The server lost its store since and is somebody else now.
    #[error("`{server}` has another incarnation now")]
    OtherIncarnation {
        /// The server.
        server: ServerName,
    },
    /// The server may not become primary.
    #[error("`{server}` cannot be promoted")]
    NotPromotable {
        /// The server.
        server: ServerName,
    },
    /// The server was admitted since the last renewal: the holder may not know it.
    #[error("`{server}` is a member since after the last renewal")]
    Stranger {
        /// The server.
        server: ServerName,
    },
    /// The claimed lease is not the one in force.
    #[error("the lease is at term {term}, renewal {seq}")]
    LeaseMoved {
        /// Its term.
        term: Term,
        /// Its seq.
        seq: Seq,
    },
    /// The lease is another server's, or it has been given back.
    #[error("the lease is not held by `{server}`")]
    NotHolder {
        /// Who claimed it.
        server: ServerName,
    },
    /// A later message of the same holder has counted already.
    #[error("renewal {number} is not newer than {last}")]
    StaleRenewal {
        /// Of the entry.
        number: RenewalNumber,
        /// The last that counted.
        last: RenewalNumber,
    },
    /// The position is not on the lineage in force.
    #[error("the position is not on the cluster's line")]
    Diverged,
    /// Commits wait for nobody, so nobody is known to have everything.
    #[error("synchronous replication has fallen back: no automatic failover")]
    Degraded,
    /// Too few voters have promised.
    #[error("{have} of {need} voters have promised")]
    TooFewReports {
        /// Reports from voters other than the candidate.
        have: usize,
        /// How many it needs.
        need: usize,
    },
    /// A server that has promised has more.
    #[error("`{server}` has log that the candidate lacks")]
    Behind {
        /// The server.
        server: ServerName,
    },
    /// More would be lost than is allowed.
    #[error("{bytes} bytes would be lost, {allowed} are allowed")]
    TooFarBehind {
        /// Missing, against the holder's last known position.
        bytes: u64,
        /// The bound.
        allowed: u64,
    },
    /// The proof does not fit the lease or the durability.
    #[error("this proof does not apply")]
    WrongProof,
    /// An automatic takeover while paused.
    #[error("failover is paused")]
    Paused,
    /// The synchronous state is not the one that the step starts from, or the step is not allowed (R6).
    #[error("this change of the synchronous state is not allowed")]
    SyncStep,
    /// One wish at a time.
    #[error("another transfer is under way")]
    TransferPending,
    /// There is no such transfer or pause.
    #[error("there is no such request")]
    NoSuchRequest,
    /// The server is primary already.
    #[error("`{server}` holds the lease")]
    IsHolder {
        /// The server.
        server: ServerName,
    },
    /// The topology has changed since.
    #[error("the topology is at generation {generation}")]
    TopologyMoved {
        /// Its generation.
        generation: u64,
    },
    /// Something is longer or larger than its named maximum, or times contradict each other.
    #[error("the request is out of bounds")]
    OutOfBounds,
    /// Standbys have promised against the lease: what they may elect by must not change under them.
    #[error("an election is under way")]
    ElectionUnderWay,
    /// There are fewer servers that commits may wait for than asked for.
    #[error("{have} servers at other sites may be waited for, {need} are asked for")]
    TooFewEligible {
        /// Eligible, promotable, at another site than the primary's.
        have: usize,
        /// n.
        need: usize,
    },
    /// Only a person may name the next primary here.
    #[error("no server takes over by itself here: {reason}")]
    NotAutomatic {
        /// Why.
        reason: NotAutomatic,
    },
    /// The server was not given up.
    #[error("`{server}` was not declared lost")]
    NotGivenUp {
        /// The server.
        server: ServerName,
    },
    /// What is agreed about the network has changed since.
    #[error("the agreement about the mesh is at generation {generation}")]
    MeshMoved {
        /// Its generation.
        generation: u64,
    },
}
