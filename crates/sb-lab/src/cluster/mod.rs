//! What makes the virtual servers a cluster: its documents, its bundles, its programs, and how to ask it.

mod agents;
mod bundles;
mod documents;
pub mod etcd;
mod mesh;
mod programs;

pub use agents::Agents;
pub use bundles::{BundlesError, Credentials, make};
pub use documents::{DATABASE, OWNER, PORT};
pub use programs::{PostgresUser, ProgramsError, find_agent};

pub(crate) use mesh::tunnel;
pub(crate) use programs::{install_agent, programs_of};
