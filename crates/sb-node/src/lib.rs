//! The agent's runtime: the only place where replication, failover, the store and the guard meet.
//!
//! Two processes a server: the [`guard`], which is PostgreSQL's parent and knows one deadline, and the agent ([`run`]),
//! which is everything else. How they fit together is in `docs/adr/2026-11-23-anatomy.md`.
//!
//! Inside the agent, `runtime` turns the failover machine: `guard_link`, `postgres` and the store are its hands and
//! eyes, `membership` keeps the store's members, `view` answers what [`http`] asks, `proxy` is where clients come in.

pub mod fence;
pub mod guard;
pub mod http;
pub mod mesh;
pub mod replay;
pub mod trace;

mod agent;
mod agent_error;
mod boottime;
mod dialer;
mod failsafe_line;
mod founding;
mod gates;
mod guard_link;
mod health_ports;
mod journal;
mod last_resort;
mod layout;
mod machine_config;
mod membership;
mod nft;
mod operations;
mod packet_fence;
mod peers;
mod persisted;
mod postgres;
mod proxy;
mod recovery;
mod replicated;
mod reserve;
mod runtime;
mod storage_probe;
mod store;
mod teller;
mod topology_copy;
mod troubles;
mod view;
mod words;

pub use agent::{AgentConfig, run};
pub use agent_error::AgentError;
pub use layout::Layout;
pub use nft::NftError;
