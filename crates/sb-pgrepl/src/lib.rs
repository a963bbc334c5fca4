//! Streaming replication of ONE server's PostgreSQL: make it, clone it, let it follow, freeze it, promote it,
//! rewind it, and say how it is.
//!
//! The crate knows nothing of leases, terms or votes: it does what it is told to one data directory, within a
//! stated time, and reports positions as (lineage, LSN). What it refuses by itself is what can never be right:
//!
//! * a data directory in the middle of a clone or a rewind is never started ([`Unfinished`]);
//! * `standby.signal` is right before every start, because a [`StartSpec`] comes only from
//!   [`Instance::prepare_start`];
//! * a standby's directory is never started as a primary (that would fork its timeline silently);
//! * a directory of another cluster is never started, rewound or followed;
//! * a data directory is renamed, never deleted, and diverged WAL is kept aside before a rewind.
//!
//! Who starts and ends the postmaster is the embedder's choice ([`Postmaster`]); [`ChildPostmaster`] is the plain one.
//! PostgreSQL 15 is the reference; 16, 17 and 18 are accepted.

mod attempt;
mod child_postmaster;
mod client_sessions;
mod clone;
mod collations;
mod configure;
mod control_data;
mod credentials;
mod desired;
mod error;
mod files;
mod follow;
mod hasten;
mod hba;
mod histories;
mod init_db;
mod instance;
mod local_data;
mod lost_writes;
mod mounts;
mod newcomers;
mod observation;
mod observer;
mod parked;
mod position;
mod postmaster;
mod prepare;
mod programs;
mod promote;
mod repair;
mod rewind;
mod roles;
mod run_as;
mod secret;
mod session;
mod settings;
mod slots;
mod source;
mod stalled;
mod sync;
mod sync_loaded;
mod tool;
mod torn_segment;
mod unfinished;
mod upstream;
mod vain_start;
mod wal;

pub use child_postmaster::ChildPostmaster;
pub use client_sessions::ClientSessionsError;
pub use clone::{CloneError, CloneRequest};
pub use collations::DifferingCollation;
pub use configure::{ConfigureError, Configured};
pub use control_data::{ClusterState, ControlData, ControlDataError};
pub use desired::{
    ClientAccess, ClientNetwork, ClientNetworkError, ClientRow, Desired, SqlName, SqlNameError,
};
pub use error::{FileError, SqlError};
pub use follow::{FollowError, FreezeError};
pub use histories::TimelineError;
pub use init_db::InitError;
pub use instance::{Instance, InstanceConfig, TlsFiles};
pub use local_data::{DataIdentity, LocalData, LocalDataError};
pub use lost_writes::{LOST_TRANSACTIONS_MAX, LostTransaction, LostWrites};
pub use observation::{Observation, Receiver, Role, Sender, Silence, Status};
pub use observer::Observer;
pub use parked::{PARKED_DATA_MAX, PARKED_WAL_MAX, ParkError, Parked};
pub use position::PositionError;
pub use postmaster::{Postmaster, PostmasterState, ShutdownMode, StartError, StartSpec, StopError};
pub use prepare::{PrepareError, StartRole};
pub use programs::{MAJOR_MAX, MAJOR_MIN, Programs, ProgramsError};
pub use promote::PromoteError;
pub use repair::{RecloneReason, RefuseReason, RepairStep, SourceFacts, repair_plan};
pub use rewind::{RewindError, Rewound};
pub use roles::{Application, RolesError};
pub use run_as::{RunAs, RunAsError};
pub use secret::{Secret, Secrets};
pub use session::ReadyError;
pub use settings::{SettingsError, wal_budget_mib};
pub use slots::{SlotName, SlotReport, SlotsError};
pub use stalled::NotStreaming;
pub use sync::{SyncEffective, SyncError, SyncStandbys};
pub use tool::ToolError;
pub use unfinished::Unfinished;
pub use upstream::Upstream;
pub use vain_start::VainStart;
