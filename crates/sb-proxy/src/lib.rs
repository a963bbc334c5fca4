//! One fixed address for the primary, wherever it is, and one for a standby nearby.
//!
//! A [`Proxy`] is given a `watch` of [`Routes`] and listens. It carries each connection to the server that the routes name,
//! holds it while there is none, and cuts it when its server is not the right one any more. Bytes are passed on as they
//! are: TLS and SCRAM go end to end. Who makes the routes, and from what, is not known here.
//!
//! The deciding part has no socket and no clock: [`Outlook`] is what routes mean for one listener, [`Passage`] the way of one
//! connection, [`HeaderParser`](proxy_header) the reading of a PROXY header. The rest moves bytes.
//!
//! Two descriptors and a task are what a quiet connection costs; there is a buffer for each thread, not for each connection.

mod client;
mod connection;
mod greeting;
mod limits;
mod listener;
mod numbers;
mod outlook;
mod passage;
mod proxy;
pub mod proxy_header;
mod pump;
mod routes;
mod seats;
mod sockets;

pub use limits::{Keepalive, Limits};
pub use listener::{Access, Header, ListenerConfig, Place};
pub use numbers::{ListenerNumbers, Listening};
pub use outlook::{Choice, Outlook, Part};
pub use passage::{Passage, Reason, Step};
pub use proxy::Proxy;
pub use routes::{Leading, Routes, Standby, Target, Term};
