use std::path::PathBuf;

use sb_pgtypes::SystemIdentifier;

use crate::{
    ClusterState, ControlDataError, Desired, FileError, Instance, SettingsError, StartSpec, Unfinished,
    Upstream,
};

/// As what a server is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartRole {
    /// Read-write, on the timeline it was on. Only for the holder of the lease.
    Primary,
    /// Read-only; follows the upstream, or without one just replays what is on its disk.
    Standby(Option<Upstream>),
}

/// The data directory may not be started like that.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is none.
    #[error("there is no data directory `{}`", path.display())]
    NoData {
        /// Where it should be.
        path: PathBuf,
    },
    /// A clone or a rewind of it was cut short.
    #[error("cannot start `{}`: a clone or rewind of it was cut short", path.display())]
    Unfinished {
        /// The data directory.
        path: PathBuf,
        /// What was going on.
        what: Unfinished,
    },
    /// It belongs to another cluster.
    #[error("cannot start `{}`: it belongs to another cluster", path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// This cluster.
        expected: SystemIdentifier,
        /// That cluster.
        found: SystemIdentifier,
    },
    /// Another major version made it.
    #[error("cannot start `{}` with PostgreSQL {programs}: version {data} made it", path.display())]
    OtherMajor {
        /// The data directory.
        path: PathBuf,
        /// Its version.
        data: u16,
        /// The programs' version.
        programs: u16,
    },
    /// It was a standby's. Started as a primary it would write on its upstream's timeline; promotion makes a new one.
    #[error("cannot start `{}` as a primary: it is a standby's ({state:?})", path.display())]
    NotAPrimary {
        /// The data directory.
        path: PathBuf,
        /// What its control file says.
        state: ClusterState,
    },
    /// A postmaster runs in it, perhaps of the distribution's own unit.
    #[error("cannot prepare `{}`: process {pid} runs in it", path.display())]
    Running {
        /// The data directory.
        path: PathBuf,
        /// The postmaster.
        pid: u32,
    },
    /// The settings cannot be written.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its control file cannot be read.
    #[error(transparent)]
    ControlData(#[from] ControlDataError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Instance {
    /// Checks the data directory, writes its files (`sb.conf`, `pg_hba.conf`, `standby.signal` or its absence, ...) for
    /// exactly this start, and says how to start it. The only source of a [`StartSpec`] (rule R7).
    ///
    /// # Errors
    /// When this data directory must not be started like that; then nothing was started and `standby.signal` may have been
    /// added, never removed.
    pub async fn prepare_start(
        &self,
        role: &StartRole,
        desired: &Desired,
    ) -> Result<StartSpec, PrepareError> {
        let _ = (role, desired);
        todo!()
    }
}
