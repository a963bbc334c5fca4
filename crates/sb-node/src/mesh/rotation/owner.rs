use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sb_topology::ServerName;
use sb_wireguard::rotation::{Action, Done, Facts, Owner, Progress, Record, Step};
use sb_wireguard::{PrivateKey, PublicKey};

use super::files::{FilesError, HeldKeys, RotationFiles};
use super::standing::{Found, Standing, understand};
use crate::mesh::agreed::Agreed;

/// The replacement of this server's own key, carried out.
#[derive(Debug)]
pub(in crate::mesh) struct OwnRotation {
    server: ServerName,
    /// The key in the topology in force.
    documented: Option<PublicKey>,
    files: RotationFiles,
    keys: HeldKeys,
    going: Option<Going>,
}

#[derive(Debug)]
struct Going {
    line: Owner,
    /// Since the step began, or the agent started.
    since: Instant,
    done: Done,
    /// When the interface got the key of this step, by the clock that dates handshakes.
    swapped: Option<Duration>,
}

/// What the owner sees at one look.
#[derive(Debug)]
pub(in crate::mesh) struct Seen<'a> {
    /// The newest agreement.
    pub(in crate::mesh) agreed: &'a Agreed,
    /// Servers that are there, and how far each has followed this rotation.
    pub(in crate::mesh) followers: BTreeMap<ServerName, Progress>,
    /// How many other servers there are.
    pub(in crate::mesh) others: usize,
    /// The key that the interface has.
    pub(in crate::mesh) interface: Option<PublicKey>,
    /// Now.
    pub(in crate::mesh) now: Instant,
}

/// What comes of a look.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mesh) enum Turn {
    /// There is nothing to do but to wait.
    Rest,
    /// Something on disk has changed; look again.
    Again,
    /// Another step began; look again.
    Stepped(Step),
    /// This should be agreed on.
    Propose(Agreed),
    /// The rotation is over, and this is the server's key.
    Ended(PublicKey),
}

/// A rotation cannot be begun or ended now.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// One goes on.
    #[error("the key of `{}` is being replaced", .0.server)]
    Busy(Record),
    /// None goes on that could be abandoned.
    #[error("no key of this server is being replaced")]
    NoneGoesOn,
    /// The interface has gone over.
    #[error("the interface has the new key already")]
    TooLate,
    /// Nothing has begun.
    #[error(transparent)]
    Files(#[from] FilesError),
}

impl OwnRotation {
    /// Goes on where an earlier run of the agent was.
    ///
    /// # Errors
    /// When the server has no usable key, or what a crash left behind cannot be put right.
    pub(in crate::mesh) fn open(
        server: &ServerName,
        documented: Option<PublicKey>,
        files: RotationFiles,
        agreed: &Agreed,
    ) -> Result<Self, FilesError> {
        let (keys, Standing { line, .. }) = files.open(server, agreed)?;
        let going = line.map(Going::begin);
        Ok(Self { server: server.clone(), documented, files, keys, going })
    }

    /// The key for the interface.
    pub(in crate::mesh) fn private_key(&self) -> &PrivateKey {
        let wanted = self.going.as_ref().map(|going| going.line.own_key());
        wanted.and_then(|key| self.keys.of(&key)).unwrap_or(&self.keys.kept)
    }

    /// The key that the documents have to name, as far as this server can tell: while a rotation goes on, it is not for
    /// this server to say by which of two it is known.
    pub(in crate::mesh) fn known_by(&self, agreed: &Agreed) -> PublicKey {
        let announced = agreed.keys.get(&self.server).copied().or(self.documented);
        let kept = self.keys.kept.public_key();
        if self.going.is_some() { announced.unwrap_or(kept) } else { kept }
    }

    /// How far it is.
    pub(in crate::mesh) fn line(&self) -> Option<&Owner> {
        self.going.as_ref().map(|going| &going.line)
    }

    /// When the interface got the key of the present step, by the clock that dates handshakes.
    pub(in crate::mesh) fn swapped(&self) -> Option<Duration> {
        self.going.as_ref()?.swapped
    }

    /// Notes that the interface has got the key of the present step.
    pub(in crate::mesh) fn note_swap(&mut self, at: Duration) {
        if let Some(going) = &mut self.going {
            going.swapped = Some(at);
        }
    }

    /// Begins a rotation: the new key is on disk, and nobody knows of it yet.
    ///
    /// # Errors
    /// While one goes on, here or elsewhere, and when the disk refuses; nothing has begun then.
    pub(in crate::mesh) fn begin(&mut self, agreed: &Agreed) -> Result<PublicKey, RotateError> {
        if let Some(record) = &agreed.rotation {
            return Err(RotateError::Busy(record.clone()));
        }
        if let Some(Owner { server, old, new, .. }) = self.line().cloned() {
            return Err(RotateError::Busy(Record { server, old, new }));
        }
        let new = self.files.make_new()?;
        let (old, announced) = (self.keys.kept.public_key(), new.public_key());
        let line = Owner::begin(self.server.clone(), old, announced);
        self.files.write_line(&line)?;
        self.keys.new = Some(new);
        self.going = Some(Going::begin(line));
        Ok(announced)
    }

    /// Ends a rotation that has not swapped yet.
    ///
    /// # Errors
    /// When there is none, it has swapped, or the disk refuses.
    pub(in crate::mesh) fn abandon(&mut self) -> Result<(), RotateError> {
        let line = self.line().ok_or(RotateError::NoneGoesOn)?;
        let back = line.abandon().ok_or(RotateError::TooLate)?;
        Ok(self.step(back)?)
    }

    /// Does what is due, at most one change of the disk at a time.
    ///
    /// # Errors
    /// When the disk refuses; the next look tries again.
    pub(in crate::mesh) fn turn(&mut self, seen: &Seen<'_>) -> Result<Turn, FilesError> {
        let Some(line) = self.line().cloned() else { return self.take_up(seen.agreed) };
        let done = match line.action() {
            Action::Announce { record, .. } => match &seen.agreed.rotation {
                Some(agreed) if *agreed == record => Done::Yes,
                None => {
                    return Ok(Turn::Propose(Agreed { rotation: Some(record), ..seen.agreed.clone() }));
                }
                // Another server was quicker.
                Some(_) => return self.step_to(Owner { step: Step::Withdraw, ..line }),
            },
            Action::UseKey(key) if seen.interface == Some(key) => Done::Yes,
            Action::UseKey(_) => Done::Unknown,
            Action::Settle { keep, .. } => return self.settle(&line, keep, seen.agreed),
        };
        let Some(going) = &mut self.going else { return Ok(Turn::Rest) };
        going.done = done;
        let facts = Facts {
            progress: seen.followers.clone(),
            present: seen.followers.keys().cloned().collect(),
            others: seen.others,
            step_ms: u64::try_from(seen.now.saturating_duration_since(going.since).as_millis())
                .unwrap_or(u64::MAX),
            done: going.done,
        };
        match line.next(&facts) {
            Some(next) => self.step_to(next),
            None => Ok(Turn::Rest),
        }
    }

    /// A proposal that was given up may be agreed on later, and a store of earlier days may be the one in force.
    fn take_up(&mut self, agreed: &Agreed) -> Result<Turn, FilesError> {
        let found = Found { kept: self.keys.kept.public_key(), new: None, line: None };
        match understand(&self.server, &found, agreed).line {
            Some(line) => self.step_to(line),
            None => Ok(Turn::Rest),
        }
    }

    /// The agreement first, so that everybody knows the key that stays; then the files; the line last.
    fn settle(&mut self, line: &Owner, keep: PublicKey, agreed: &Agreed) -> Result<Turn, FilesError> {
        let settled = self.settled(line, keep, agreed);
        if settled != *agreed {
            return Ok(Turn::Propose(settled));
        }
        if let Some(new) = self.keys.new.clone() {
            if new.public_key() == keep {
                self.files.settle_new(&keep)?;
                self.keys.kept = new;
            } else {
                self.files.discard_new()?;
            }
            self.keys.new = None;
            return Ok(Turn::Again);
        }
        self.files.remove_line()?;
        self.going = None;
        Ok(Turn::Ended(keep))
    }

    /// The agreement once this rotation is over.
    fn settled(&self, line: &Owner, keep: PublicKey, agreed: &Agreed) -> Agreed {
        let mut settled = agreed.clone();
        settled.rotation = settled.rotation.filter(|record| record.server != line.server);
        if self.documented == Some(keep) {
            settled.keys.remove(&line.server);
        } else {
            settled.keys.insert(line.server.clone(), keep);
        }
        settled
    }

    fn step_to(&mut self, line: Owner) -> Result<Turn, FilesError> {
        let step = line.step;
        self.step(line)?;
        Ok(Turn::Stepped(step))
    }

    /// Written down before it is acted on.
    fn step(&mut self, line: Owner) -> Result<(), FilesError> {
        self.files.write_line(&line)?;
        let swapped = self.swapped();
        self.going = Some(Going { swapped, ..Going::begin(line) });
        Ok(())
    }
}

impl Going {
    fn begin(line: Owner) -> Self {
        Self { line, since: Instant::now(), done: Done::Unknown, swapped: None }
    }
}
