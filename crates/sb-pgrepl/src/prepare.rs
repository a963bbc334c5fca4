use std::fs;
use std::path::{Path, PathBuf};

use sb_pgtypes::SystemIdentifier;

use crate::configure::{OUR_FILES, neutral_auto_conf, with_includes};
use crate::files::{off_thread, read_if_present, remove_durably, write_durably};
use crate::histories::Histories;
use crate::programs::data_major;
use crate::settings::Settings;
use crate::sync::SYNC_CONF;
use crate::{
    ClusterState, ControlData, ControlDataError, Desired, FileError, Instance, SettingsError, StartSpec,
    Unfinished, Upstream,
};

/// Longest run directory: `sun_path` is 108 bytes with its end, and `/.s.PGSQL.65535` comes after it.
const RUN_DIR_BYTES_MAX: usize = 107 - 15;

const STANDBY_SIGNAL: &str = "standby.signal";
const RECOVERY_SIGNAL: &str = "recovery.signal";
const BACKUP_LABEL: &str = "backup_label";

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
    /// It was a standby's, or is a copy that never ran. Started as a primary it would write on its upstream's timeline;
    /// promotion makes a new one.
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
    /// The name of the Unix socket would be longer than the system allows.
    #[error("cannot start PostgreSQL with its socket in `{}`: the path is too long", path.display())]
    SocketPath {
        /// The run directory.
        path: PathBuf,
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

impl PrepareError {
    /// Numbers, for the line after the message.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Foreign { expected, found, .. } => {
                Some(format!("Its system identifier is {found}; this cluster's is {expected}."))
            }
            Self::Unfinished { what, .. } => Some(format!("The note beside it says: {what:?}.")),
            Self::SocketPath { .. } => Some(format!("At most {RUN_DIR_BYTES_MAX} bytes are possible.")),
            _ => None,
        }
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Foreign { path, .. } => {
                Some(format!("Move it away if it is not needed here: mv {0} {0}.other", path.display()))
            }
            Self::NotAPrimary { .. } => {
                Some("Start it as a standby, and promote it if it is to be primary.".to_owned())
            }
            Self::OtherMajor { data, .. } => Some(format!("Install it: apt-get install postgresql-{data}")),
            Self::Running { pid, .. } => Some(format!(
                "If the distribution started it: systemctl disable --now postgresql (process {pid})"
            )),
            _ => None,
        }
    }
}

impl Instance {
    /// Checks the data directory, writes its files (`sb.conf`, `pg_hba.conf`, `standby.signal` or its absence, ...) for
    /// exactly this start, and says how to start it. The only source of a [`StartSpec`] (rule R7).
    ///
    /// # Errors
    /// When this data directory must not be started like that; then nothing was started, and `standby.signal` was not
    /// removed.
    pub async fn prepare_start(
        &self,
        role: &StartRole,
        desired: &Desired,
    ) -> Result<StartSpec, PrepareError> {
        self.check_startable()?;
        let control = self.control_data().await?;
        self.check_identity(&control, desired)?;
        let floors = match role {
            StartRole::Primary => {
                self.check_primary(&control)?;
                &[]
            }
            StartRole::Standby(_) => control.floors.as_slice(),
        };
        let settings = self.settings(desired, floors)?;
        let (instance, role, desired) = (self.clone(), role.clone(), desired.clone());
        off_thread(move || instance.write_for_start(&role, &desired, &settings)).await?;
        Ok(self.start_spec())
    }

    fn check_startable(&self) -> Result<(), PrepareError> {
        let path = || self.data_dir().to_owned();
        if let Some(what) = self.unfinished()? {
            return Err(PrepareError::Unfinished { path: path(), what });
        }
        let Some(data) = data_major(self.data_dir()) else {
            return Err(PrepareError::NoData { path: path() });
        };
        let programs = self.config().programs.major();
        if data != programs {
            return Err(PrepareError::OtherMajor { path: path(), data, programs });
        }
        if self.config().run_dir.as_os_str().len() > RUN_DIR_BYTES_MAX {
            return Err(PrepareError::SocketPath { path: self.config().run_dir.clone() });
        }
        match self.running_pid()? {
            Some(pid) => Err(PrepareError::Running { path: path(), pid }),
            None => Ok(()),
        }
    }

    fn check_identity(&self, control: &ControlData, desired: &Desired) -> Result<(), PrepareError> {
        let found = control.system_identifier;
        match desired.system_identifier {
            Some(expected) if expected != found => {
                Err(PrepareError::Foreign { path: self.data_dir().to_owned(), expected, found })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_primary(&self, control: &ControlData) -> Result<(), PrepareError> {
        // A copy's control file is its source's, which says "in production": the label tells it apart.
        let copy = self.in_data(BACKUP_LABEL).exists();
        if copy || control.is_standby() {
            return Err(PrepareError::NotAPrimary { path: self.data_dir().to_owned(), state: control.state });
        }
        Ok(())
    }

    /// The postmaster that runs in the data directory, if any. A left-over lock file whose number now names another process
    /// does not count.
    pub(crate) fn running_pid(&self) -> Result<Option<u32>, FileError> {
        let Some(text) = read_if_present(&self.in_data("postmaster.pid"))? else { return Ok(None) };
        let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
            return Ok(None);
        };
        let same = |cwd: PathBuf| fs::canonicalize(self.data_dir()).is_ok_and(|data| data == cwd);
        let alive = match fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd")) {
            Ok(cwd) => same(cwd),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        };
        Ok(alive.then_some(pid))
    }

    fn write_for_start(
        &self,
        role: &StartRole,
        desired: &Desired,
        settings: &Settings,
    ) -> Result<(), FileError> {
        let upstream = match role {
            StartRole::Primary => None,
            StartRole::Standby(upstream) => {
                // First of all: whatever fails after this, no start can be a primary's.
                self.write_data_file(STANDBY_SIGNAL, "")?;
                upstream.as_ref()
            }
        };
        Histories::read(&self.in_data("pg_wal"), self.config().run_as)?.tidy()?;
        self.write_credentials()?;
        self.write_configuration(desired, settings)?;
        self.write_upstream(upstream)?;
        let auto = self.in_data("postgresql.auto.conf");
        if let Some(text) = read_if_present(&auto)? {
            self.write_data_file("postgresql.auto.conf", &neutral_auto_conf(&text, settings))?;
        }
        if *role == StartRole::Primary {
            remove_durably(&self.in_data(RECOVERY_SIGNAL))?;
            remove_durably(&self.in_data(STANDBY_SIGNAL))?;
        }
        Ok(())
    }

    /// Writes the files that do not depend on the role, and has `postgresql.conf` include them last.
    pub(crate) fn write_configuration(
        &self,
        desired: &Desired,
        settings: &Settings,
    ) -> Result<(), FileError> {
        self.write_data_file("sb.conf", &crate::settings::render(settings))?;
        self.write_data_file("pg_hba.conf", &crate::hba::render_hba(desired))?;
        let peers = crate::run_as::superuser_peers(self.config().run_as);
        self.write_data_file("pg_ident.conf", &crate::hba::render_ident(&peers))?;
        if !self.in_data(SYNC_CONF).exists() {
            self.write_data_file(SYNC_CONF, "synchronous_standby_names = ''\n")?;
        }
        let main = read_if_present(&self.in_data("postgresql.conf"))?.unwrap_or_default();
        self.write_data_file("postgresql.conf", &with_includes(&main, &OUR_FILES))
    }

    pub(crate) fn write_data_file(&self, name: &str, text: &str) -> Result<(), FileError> {
        write_durably(&self.in_data(name), text.as_bytes(), 0o600, self.config().run_as)
    }

    fn start_spec(&self) -> StartSpec {
        let config = self.config();
        let data = config.data_dir.display().to_string();
        StartSpec {
            program: config.programs.path("postgres"),
            // On the command line nothing can override it: no other postgresql.conf is ever read.
            args: vec!["-D".into(), data.clone(), "-c".into(), format!("config_file={data}/postgresql.conf")],
            env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C.UTF-8".into())],
            data_dir: config.data_dir.clone(),
            log_file: config.log_dir.join("startup.log"),
            run_as: config.run_as,
        }
    }
}
