//! A member that goes on alone, because a person knows that the majority will not come back.

use std::path::{Path, PathBuf};

use crate::replica::{ApplyError, ReplayError, SuccessionError};
use crate::{MemberId, OpenError, RestoreError, StateMachine};

use super::disk::{Directory, FileDisk, IdentityFile, failed, sync_directory};
use super::{RaftConfig, RaftStore, enter, holds_log};

/// A group of one that was made from a member of a lost group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The id of the only voter.
    pub member: MemberId,
    /// The id that its server had in the lost group.
    pub earlier: MemberId,
}

/// Why a member does not go on alone. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError<E> {
    /// The directory cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is no member to go on with.
    #[error("`{}` holds no log", dir.display())]
    Nothing {
        /// The directory.
        dir: PathBuf,
    },
    /// Another member is there than the one that was to go on: it was recovered already, or began anew.
    #[error("the directory belongs to {found} and not to {expected}")]
    OtherMember {
        /// Whose it is.
        found: MemberId,
        /// Whose it was to be.
        expected: MemberId,
    },
    /// Its disk knows no group that the server belongs to.
    #[error("`{name}` is not in the group that its disk knows")]
    NotAMember {
        /// The server.
        name: String,
    },
    /// What is on disk cannot be read.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// An entry of the log cannot be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The state machine refused the last change.
    #[error("the state machine refused the change")]
    Refused(E),
    /// The new state is too large for the disk's format.
    #[error("the state is too large to be written")]
    TooLarge,
}

impl<S: StateMachine> RaftStore<S> {
    /// Makes the member `expected` the only voter of a group of its own, under a new id: for a group whose majority is
    /// lost for good. The store must not be open; [`open`](Self::open) goes on with the new group.
    ///
    /// The whole log is applied, also what is not known to be committed. `change` is the last thing that the state
    /// machine takes before the group begins: it is durable together with the group, or not at all. Every old id is
    /// refused from then on, so a server that was given up cannot be heard, nor a survivor before it joins anew.
    ///
    /// # To ensure correctness
    ///
    /// Lost members that come back and find each other are still the majority of the OLD group, which nothing here can
    /// stop. Who calls this must know that they do not, and must tell the other survivors to [`leave`](Self::leave).
    ///
    /// # Errors
    ///
    /// [`RecoverError`]. After [`OpenError::Io`] the directory is what it was, or the next open ends the recovery.
    pub fn danger_recover<E>(
        config: &RaftConfig,
        machine: S,
        expected: MemberId,
        change: impl FnOnce(&mut S) -> Result<(), E>,
    ) -> Result<Recovered, RecoverError<E>> {
        let directory = enter(config)?;
        let identity = known(&directory)?;
        directory.check(&identity, &config.cluster, &config.name)?;
        let earlier = id_of(&directory, &identity)?;
        if earlier != expected {
            return Err(RecoverError::OtherMember { found: earlier, expected });
        }
        let (disk, content) = FileDisk::open(directory)?;
        let (member, next) = identity.successor();
        let (name, address) = (config.name.clone(), config.address.clone());
        let sole = crate::Member { id: member, name, address };
        let content = content.succeed(machine, &sole, change).map_err(from_succession)?;
        let text = serde_json::to_vec_pretty(&next).map_err(|_| RecoverError::TooLarge)?;
        let sound = content.snapshot.as_ref().is_some_and(crate::replica::Snapshot::is_sound);
        let files = FileDisk::files(&content, text).filter(|_| sound).ok_or(RecoverError::TooLarge)?;
        disk.into_directory().replace_all(files)?;
        Ok(Recovered { member, earlier })
    }

    /// The state that a directory holds, with what is not known to be committed; [`None`] where no leader has sent one
    /// yet. The store must not be open, and nothing is changed.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn look_into(dir: &Path, machine: S) -> Result<Option<S::View>, OpenError> {
        if !holds_log(dir) {
            return Ok(None);
        }
        let (_disk, content) = FileDisk::open(Directory::open(dir)?)?;
        let held = content.replay_all(machine).map_err(|error| match error {
            ReplayError::Restore(error) => OpenError::Restore(error),
            ReplayError::Apply(error) => {
                OpenError::Corrupt { path: dir.join("log"), reason: error.to_string() }
            }
        });
        Ok(held?.known_view())
    }

    /// Leaves a group that a recovery elsewhere has given up: the directory is renamed as a whole, and the next
    /// [`open`](Self::open) begins an empty one. Returns where it went; `None` when there was nothing to leave.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] while the store is open; [`OpenError::Io`].
    pub fn leave(dir: &Path) -> Result<Option<PathBuf>, OpenError> {
        if !dir.exists() {
            return Ok(None);
        }
        let directory = Directory::open(dir)?;
        if !holds_log(dir) {
            return Ok(None);
        }
        let id = id_of(&directory, &directory.identity()?)?;
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".left-{id}"));
        let left = dir.with_file_name(name);
        let moved = std::fs::rename(dir, &left).and_then(|()| sync_directory(dir));
        moved.map_err(failed("leave", dir))?;
        Ok(Some(left))
    }
}

fn known<E>(directory: &Directory) -> Result<IdentityFile, RecoverError<E>> {
    if !holds_log(directory.path()) {
        return Err(RecoverError::Nothing { dir: directory.path().to_path_buf() });
    }
    Ok(directory.identity()?)
}

fn id_of(directory: &Directory, identity: &IdentityFile) -> Result<MemberId, OpenError> {
    let path = directory.path().join("identity.json");
    identity.member.parse().map_err(|_| OpenError::Corrupt { path, reason: "no member id".into() })
}

fn from_succession<E>(error: SuccessionError<E>) -> RecoverError<E> {
    match error {
        SuccessionError::Replay(ReplayError::Restore(error)) => error.into(),
        SuccessionError::Replay(ReplayError::Apply(error)) => error.into(),
        SuccessionError::NotAMember { name } => RecoverError::NotAMember { name },
        SuccessionError::Refused(refusal) => RecoverError::Refused(refusal),
    }
}
