//! A small, strongly consistent store: one state machine, replicated, linearizable.
//!
//! The embedder writes a [`StateMachine`]; this crate decides the one order in which requests reach it, on every
//! member. [`Store`] is the handle: [`Store::propose`] (exactly once, also when it had to be retried),
//! [`Store::read`] (linearizable), [`Store::watch`] (every change the own replica applied), membership and the
//! transfer of leadership.
//!
//! Three backends stand behind the handle and pass one contract suite:
//!
//! * [`RaftStore`]: embedded Raft on the sans-IO `raft` crate, durable in one directory. Nothing to install.
//! * [`EtcdStore`]: one key of an existing etcd v3, changed by compare-and-set. Never its leases, never its clock.
//! * [`MemoryStore`]: one process, for tests.
//!
//! What it does not do: it knows no leases, no clocks of servers, no PostgreSQL. Who leads Raft has no meaning
//! outside this crate. Peers are authenticated by the embedder, which hands over streams that it trusts
//! ([`Connector`], [`Store::serve`]); their bytes are still treated as input that may be wrong.
//!
//! [`replica::Replica`] is the whole of the Raft backend without threads, clocks, files or sockets; a simulator
//! drives the same code that runs in production.

mod error;
mod etcd;
mod health;
pub mod limits;
mod machine;
mod member;
mod memory;
mod raft_store;
mod store;
mod transport;

pub mod replica;

pub use error::{ChangeError, OpenError, ProposeError, ReadError, ServeError};
pub use etcd::{EtcdConfig, EtcdEndpoint, EtcdEndpointError, EtcdLogin, EtcdStore, EtcdTls, belongs_to_etcd};
pub use health::{DiskHealth, EtcdEndpointHealth, EtcdHealth, LeaderInfo, MemberProgress, Role, StoreHealth};
pub use machine::{Applied, RestoreError, StateMachine};
pub use member::{ChangeRejected, Member, MemberError, MemberId, Membership, MembershipChange};
pub use memory::MemoryStore;
pub use raft_store::{
    ConfigError, FatalDiskError, MakeRoom, OnFatalDisk, RaftConfig, RaftStore, RecoverError, Recovered, Room,
    Timings, holds_log,
};
pub use store::Store;
pub use transport::{BoxedStream, Connector, Lane, Stream};
