//! PostgreSQL's own vocabulary as types: log sequence numbers, timelines and their lineage, system
//! identifiers and connection strings.
//!
//! Pure: nothing here opens a socket, reads a clock or touches a file. Text forms are exactly those that
//! PostgreSQL prints and accepts.

mod conninfo;
mod lineage;
mod lsn;
mod position;
mod slot_name;
mod standby_names;
mod system_identifier;
mod timeline;

pub use conninfo::{Conninfo, ConninfoError};
pub use lineage::{Fork, Lineage, LineageError};
pub use lsn::{Lsn, LsnParseError};
pub use position::{Position, Relation};
pub use slot_name::{SlotName, SlotNameError};
pub use standby_names::{ApplicationName, ApplicationNameError, SynchronousStandbyNames};
pub use system_identifier::{SystemIdentifier, SystemIdentifierParseError};
pub use timeline::{TimelineId, TimelineIdError};
