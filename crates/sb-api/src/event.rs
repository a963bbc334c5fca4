use serde::{Deserialize, Serialize};

/// Most events in one answer of `GET /v1/events`; the next call continues after the last id.
pub const EVENTS_PER_ANSWER_MAX: usize = 500;

/// Longest wait of one `GET /v1/events`, in seconds; a longer one asked for is cut to it.
pub const EVENTS_WAIT_SECONDS_MAX: u64 = 30;

/// Most entries in one answer of `GET /v1/history`, the newest.
pub const HISTORY_ENTRIES_MAX: usize = 128;

/// Something that happened, as one server's journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Sequence in the journal of the agent asked; rises, never repeats there.
    pub id: u64,
    /// UTC, RFC 3339. For people only: clocks of servers are never compared.
    pub at: String,
    /// The server it happened on.
    pub server: String,
    /// Stable dotted word, such as `lease.acquired` or `postgres.promoted`.
    pub kind: String,
    /// The term it belongs to.
    pub term: Option<u64>,
    /// A fact in one sentence, objects in backticks.
    pub message: String,
    /// Numbers and positions.
    pub detail: Option<String>,
}

/// Query of `GET /v1/events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only events with a greater id; 0 is the whole journal.
    #[serde(default)]
    pub since: u64,
    /// Seconds to wait for a first event when there is none yet, at most [`EVENTS_WAIT_SECONDS_MAX`].
    #[serde(default)]
    pub wait: u64,
}
