use std::path::{Path, PathBuf};
use std::sync::Arc;

use sb_topology::ServerName;

use crate::{Programs, RunAs, Secrets};

/// The certificate files of this server, as the operator keeps them. PostgreSQL gets copies that it may read.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The cluster CA's certificate (PEM): what peers must show a certificate of.
    pub ca: PathBuf,
    /// This server's certificate (PEM); it must carry the server's name as a DNS name.
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

/// Where one server's PostgreSQL lives and what it runs with.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// The server's name: `cluster_name`, `application_name` and its slots' names come from it.
    pub server: ServerName,
    /// PostgreSQL's programs.
    pub programs: Programs,
    /// The user for PostgreSQL and all its programs; [`None`] when this process already is that user.
    pub run_as: Option<RunAs>,
    /// The data directory. `<data_dir>.cloning-<n>`, `.initializing-<n>` and `.unfinished` beside it are ours too; its parent
    /// must be on the same file system: a mount point is put to use by a directory in it.
    pub data_dir: PathBuf,
    /// A directory of its own for the Unix socket and for the copies of keys and passwords; made and owned as needed. Like
    /// the other directories' parents, its parent must be passable for the user above.
    /// PostgreSQL allows 107 bytes for the socket's path.
    pub run_dir: PathBuf,
    /// A directory of its own for logs; made and owned as needed.
    pub log_dir: PathBuf,
    /// Where diverged WAL and former data directories are kept. When that is not on the data directory's file system, which a
    /// rename cannot leave, they are kept in `<data_dir>.parked` instead.
    pub parked_dir: PathBuf,
    /// PostgreSQL's port.
    pub port: u16,
    /// Certificates.
    pub tls: TlsFiles,
    /// Passwords.
    pub secrets: Secrets,
}

/// One server's PostgreSQL. Cheap to clone; every operation is a method in the file named after it.
///
/// Operations on one instance must not overlap, except [`crate::Observer::observe`], which may run beside any of them.
#[derive(Clone, Debug)]
pub struct Instance {
    config: Arc<InstanceConfig>,
}

impl Instance {
    /// Names an instance. Touches nothing.
    #[must_use]
    pub fn new(config: InstanceConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// What it was made from.
    #[must_use]
    pub fn config(&self) -> &InstanceConfig {
        &self.config
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.config.data_dir
    }

    pub(crate) fn in_data(&self, name: &str) -> PathBuf {
        self.config.data_dir.join(name)
    }

    pub(crate) fn in_run(&self, name: &str) -> PathBuf {
        self.config.run_dir.join(name)
    }

    /// `<data_dir>.<suffix>`: beside the data directory, so that a rename between them is atomic.
    pub(crate) fn beside_data(&self, suffix: &str) -> PathBuf {
        let mut name = self.config.data_dir.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        name.into()
    }
}
