//! Documents in, a topology or all their problems out.

use std::path::Path;

use crate::{NetworkSettings, Problem, Problems, Topology};

/// Longest document that is read, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// The bytes of the documents; [`None`] for a file that does not exist.
#[derive(Debug, Clone, Copy, Default)]
pub struct Documents<'a> {
    /// `database.json`.
    pub database: Option<&'a [u8]>,
    /// `sites.json`.
    pub sites: &'a [u8],
    /// `network.json`.
    pub network: Option<&'a [u8]>,
    /// `policy.json`.
    pub policy: Option<&'a [u8]>,
}

/// Documents that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The cluster.
    pub topology: Topology,
    /// This server's part in the mesh.
    pub network: NetworkSettings,
    /// What somebody should look at.
    pub warnings: Vec<Problem>,
}

/// Reads and checks the documents.
///
/// # Errors
/// Every problem, warnings among them, when at least one is an error.
pub fn load(documents: Documents<'_>) -> Result<Loaded, Problems> {
    let _ = documents;
    todo!()
}

/// Reads and checks the documents of a configuration directory.
///
/// # Errors
/// Every problem, warnings among them, when at least one is an error; files that cannot be read are problems
/// too.
pub fn load_dir(directory: &Path) -> Result<Loaded, Problems> {
    let _ = directory;
    todo!()
}
