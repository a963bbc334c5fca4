//! What an agent says and listens to over HTTP.
//!
//! The router knows nothing of PostgreSQL, the store or the failover machine: it asks an [`AgentView`], which the
//! agent's runtime is. Three listeners lead to it, and each says who calls before the router sees the request:
//!
//! | listener | who calls | may |
//! |---|---|---|
//! | [`UnixListener`] | the system says which user | everything, when root or the agent's own user; else nothing |
//! | [`ApiListener`], 8080 | a bearer token says | what the token's scope says |
//! | [`PeerListener`], 7432 | a certificate of the cluster says which server | peer calls only |
//!
//! Health is answered without asking who calls, from memory alone: on the API's port, on a port of its own
//! ([`HealthListener`], 8008), and to HAProxy's agent check ([`AgentCheckListener`], 8009).

mod caller;
mod connection;
mod health;
mod listener;
mod peer;
mod problem;
mod router;
mod view;

pub use caller::{Access, Caller};
pub use connection::{CONNECTION_SECONDS_MAX, REQUEST_HEAD_SECONDS_MAX, REQUEST_SECONDS_MAX};
pub use health::{
    AgentCheckListener, Alive, Follows, Health, Kept, Lease, Postgres, Serves, WaitedFor, health_router,
};
pub use listener::{
    ApiListener, CONNECTIONS_MAX, HealthListener, ListenError, TLS_HANDSHAKE_SECONDS_MAX, UnixListener,
};
pub use peer::{PEER_CONNECTIONS_MAX, PeerListener, RaftConnection};
pub use router::{BODY_BYTES_MAX, router};
pub use view::AgentView;
