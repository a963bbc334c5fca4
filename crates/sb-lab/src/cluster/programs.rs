//! Which programs run on a server, as whom, and where they are.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::unistd::{Uid, User};

use crate::brake::Brake;
use crate::host::Directories;
use crate::layout::Duty;
use crate::unit::Program;

/// Overrides where `sb-agent` is looked for.
const AGENT_VARIABLE: &str = "SB_AGENT";

/// The user that PostgreSQL's packages make.
const POSTGRES: &str = "postgres";

/// Everybody may pass, nobody may list.
const PASSAGE_MODE: u32 = 0o711;

/// Everybody may pass; only root and the group `postgres` may add sockets, and none may replace the other's.
const RUN_MODE: u32 = 0o1775;

/// A server's programs cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// There is no `sb-agent`.
    #[error("found no `sb-agent`")]
    NoAgent {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The lab runs as root, and PostgreSQL may not.
    #[error("there is no user `postgres` for PostgreSQL to run as")]
    NoPostgresUser,
    /// The cluster's record is to be in etcd, and there is none.
    #[error("found no `etcd`")]
    NoEtcd,
    /// A file or directory could not be prepared.
    #[error("could not prepare `{path}`")]
    Prepare {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Who PostgreSQL runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresUser {
    /// The user who runs the lab, who is not root.
    Caller,
    /// `postgres`, because the lab is root and PostgreSQL may not be.
    Postgres,
}

impl PostgresUser {
    /// Chooses.
    ///
    /// # Errors
    /// When the lab is root and there is no user `postgres`.
    pub fn choose() -> Result<Self, ProgramsError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Caller);
        }
        match User::from_name(POSTGRES) {
            Ok(Some(_)) => Ok(Self::Postgres),
            _ => Err(ProgramsError::NoPostgresUser),
        }
    }
}

/// The built `sb-agent`: `SB_AGENT`, or beside this program, or one directory up, where cargo puts it for tests.
///
/// # Errors
/// When it is nowhere.
pub fn find_agent() -> Result<PathBuf, ProgramsError> {
    if let Some(named) = std::env::var_os(AGENT_VARIABLE).map(PathBuf::from) {
        return if named.is_file() { Ok(named) } else { Err(ProgramsError::NoAgent { tried: vec![named] }) };
    }
    let own = std::env::current_exe().unwrap_or_default();
    let tried: Vec<PathBuf> =
        own.ancestors().skip(1).take(2).map(|directory| directory.join("sb-agent")).collect();
    tried.iter().find(|path| path.is_file()).cloned().ok_or(ProgramsError::NoAgent { tried })
}

/// Shows the agent's program at a path that every user may pass, which a home directory may not be.
///
/// # Errors
/// When it is nowhere or cannot be mounted.
pub(crate) fn install_agent(directory: &Path) -> Result<PathBuf, ProgramsError> {
    let source = find_agent()?;
    let path = directory.join("sb-agent");
    let none: Option<&str> = None;
    let mounting = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        File::create(&path)?;
        Ok(mount(Some(&source), &path, none, MsFlags::MS_BIND, none)?)
    };
    mounting().map_err(|source| ProgramsError::Prepare { path: path.clone(), source })?;
    Ok(path)
}

/// Says what runs on a server: the guard first where there is something to guard, then the agent, with the options of
/// the packages' units.
///
/// # Errors
/// When a directory cannot be prepared.
pub(crate) fn programs_of(
    directories: &Directories,
    agent: &Path,
    duty: Duty,
    user: PostgresUser,
    brake: Option<&Brake>,
) -> Result<Vec<Program>, ProgramsError> {
    let Directories { config, state, run, log } = directories;
    let text = |path: &Path| path.display().to_string();
    let guard = ["guard", "--state-dir", &text(state), "--run-dir", &text(run)].map(str::to_owned).to_vec();
    let mut agent_arguments =
        ["run", "--config-dir", &text(config), "--state-dir", &text(state), "--run-dir", &text(run)]
            .map(str::to_owned)
            .to_vec();
    if user == PostgresUser::Postgres {
        open_to_postgres(directories)?;
        agent_arguments.extend(["--postgres-user".to_owned(), POSTGRES.to_owned()]);
    }
    let program = |name: &str, arguments: Vec<String>| Program {
        name: name.to_owned(),
        path: agent.to_owned(),
        arguments,
        environment: Vec::new(),
        log: log.join(format!("{name}.log")),
        brake: brake.cloned(),
    };
    let agent = program("agent", agent_arguments);
    Ok(match duty {
        Duty::Database => vec![program("guard", guard), agent],
        Duty::Witness => vec![agent],
    })
}

/// PostgreSQL's user has to pass through what belongs to root, and to make its socket.
fn open_to_postgres(directories: &Directories) -> Result<(), ProgramsError> {
    let home = directories.state.parent().unwrap_or(&directories.state);
    let group = User::from_name(POSTGRES).ok().flatten().map(|user| user.gid.as_raw());
    let opened = || -> io::Result<()> {
        // Everything above a home is the lab's own, up to where its disk is mounted.
        let above = home.ancestors().skip(1).take_while(|path| path.parent().is_some());
        for passage in [home, &directories.state].into_iter().chain(above) {
            fs::set_permissions(passage, fs::Permissions::from_mode(PASSAGE_MODE))?;
        }
        chown(&directories.run, None, group)?;
        fs::set_permissions(&directories.run, fs::Permissions::from_mode(RUN_MODE))
    };
    opened().map_err(|source| ProgramsError::Prepare { path: home.to_owned(), source })
}
