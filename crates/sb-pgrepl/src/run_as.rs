use std::os::unix::fs::chown;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::FileError;

/// The user that PostgreSQL and its programs run as when this process is root: PostgreSQL refuses to be root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunAs {
    /// User id, not 0.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// There is no user to run PostgreSQL as.
#[derive(Debug, thiserror::Error)]
pub enum RunAsError {
    /// The system knows no such user.
    #[error("there is no user `{name}` to run PostgreSQL as")]
    NoSuchUser {
        /// The name looked for.
        name: String,
    },
    /// PostgreSQL refuses to run as root.
    #[error("cannot run PostgreSQL as `{name}`: it refuses to run with user id 0")]
    Root {
        /// The name looked for.
        name: String,
    },
    /// The user database did not answer.
    #[error("could not look up the user `{name}`")]
    Lookup {
        /// The name looked for.
        name: String,
        /// What the system said.
        #[source]
        source: nix::Error,
    },
}

impl RunAs {
    /// What this process needs: [`None`] when it already runs unprivileged, else the user `name`.
    ///
    /// # Errors
    /// When this process is root and `name` is unknown or root itself.
    pub fn for_this_process(name: &str) -> Result<Option<Self>, RunAsError> {
        if Uid::effective().is_root() { Self::user(name).map(Some) } else { Ok(None) }
    }

    /// The user `name`.
    ///
    /// # Errors
    /// When it is unknown or root.
    pub fn user(name: &str) -> Result<Self, RunAsError> {
        let user = User::from_name(name)
            .map_err(|source| RunAsError::Lookup { name: name.to_owned(), source })?
            .ok_or_else(|| RunAsError::NoSuchUser { name: name.to_owned() })?;
        if user.uid.is_root() {
            return Err(RunAsError::Root { name: name.to_owned() });
        }
        Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    pub(crate) fn own(self, path: &Path) -> Result<(), FileError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(FileError::on("change the owner of", path))
    }
}

/// The names that peer authentication may present for PostgreSQL's superuser: root, `postgres`, and whoever runs it.
pub(crate) fn superuser_peers(run_as: Option<RunAs>) -> Vec<String> {
    let uid = run_as.map_or_else(Uid::effective, |r| Uid::from_raw(r.uid));
    let mut names = vec!["root".to_owned(), "postgres".to_owned()];
    if let Ok(Some(user)) = User::from_uid(uid)
        && !names.contains(&user.name)
    {
        names.push(user.name);
    }
    names
}
