//! Every bound of this crate by name. A peer, a file or an embedder that exceeds one is refused; nothing is cut.

/// Members, voters and learners together, of one group.
pub const MEMBERS_MAX: usize = 31;
/// Removed member ids that are remembered, so that a late message cannot bring one back.
pub const REMOVED_IDS_MAX: usize = 64;
/// Bytes of a member's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of a member's advertised address.
pub const ADDRESS_BYTES_MAX: usize = 256;
/// Bytes of a group's id.
pub const CLUSTER_BYTES_MAX: usize = 128;
/// Bytes of one encoded request.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of one log entry: a request and its envelope.
pub const ENTRY_BYTES_MAX: usize = REQUEST_BYTES_MAX + 256;
/// Entries in one message or one record on disk.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 4096;
/// Bytes of entries after which a message to a peer is closed and the next one begun.
pub const MESSAGE_BYTES_SOFT_MAX: u64 = 256 << 10;
/// Bytes of entries that a leader holds without knowing them committed; more is refused.
pub const UNCOMMITTED_BYTES_MAX: u64 = 16 << 20;
/// Bytes of a snapshot: machine, membership and answers kept for retries.
pub const SNAPSHOT_BYTES_MAX: usize = 16 << 20;
/// Bytes of the opaque context that a heartbeat or a read carries.
pub const CONTEXT_BYTES_MAX: usize = 64;
/// Bytes of one frame on the urgent lane.
pub const URGENT_FRAME_BYTES_MAX: usize = 4 << 10;
/// Bytes of one frame on the bulk lane.
pub const BULK_FRAME_BYTES_MAX: usize = SNAPSHOT_BYTES_MAX + (1 << 20);
/// Bytes of the first frame of a connection.
pub const HELLO_BYTES_MAX: usize = 1 << 10;
/// Frames waiting for one lane of one peer; beyond it the oldest is dropped.
pub const LANE_FRAMES_MAX: usize = 256;
/// Bytes waiting for one lane of one peer; beyond it the oldest frame is dropped.
pub const LANE_BYTES_MAX: usize = 2 * BULK_FRAME_BYTES_MAX;
/// Requests of one member that are proposed and not yet answered.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 64;
/// Linearizable reads of one member that are not yet answered.
pub const READS_IN_FLIGHT_MAX: usize = 256;
/// Messages and calls waiting for the Raft thread; beyond it messages are dropped and calls refused.
pub const INBOX_MAX: usize = 1024;
/// Appends sent to one peer ahead of its answers.
pub const APPENDS_IN_FLIGHT_MAX: usize = 64;
/// Bytes of one record on disk.
pub const RECORD_BYTES_MAX: usize = 32 << 20;
/// Bytes of the one value that an etcd holds for a group. etcd itself refuses requests above 1.5 MB.
pub const ANCHOR_BYTES_MAX: usize = 1 << 20;
/// Bytes of that value above which a warning is logged: every change writes all of it.
pub const ANCHOR_BYTES_HINT: usize = 100 << 10;
