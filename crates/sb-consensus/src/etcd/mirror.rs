use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::limits::ANCHOR_BYTES_HINT;
use crate::replica::{ApplyError, Command, ReplicatedState, Snapshot, Stamp, no_sessions};
use crate::{Applied, Member, Membership, MembershipChange, RestoreError, StateMachine};

use super::anchor::{Anchor, Founding, MalformedAnchor, position};
use super::gateway::Version;
use super::identity::{Belongs, Identity};

/// The own replica: the newest anchor seen, as a state.
///
/// It moves forward only. A change is planned on it, and becomes part of it when etcd has taken it.
pub(super) struct Mirror<S: StateMachine> {
    me: Member,
    cluster: String,
    start: u64,
    inner: Mutex<Inner<S>>,
    applied: watch::Sender<Applied<S::View>>,
}

struct Inner<S: StateMachine> {
    identity: Identity,
    /// The machine before anything was applied, as a founder puts it into etcd.
    empty: Vec<u8>,
    state: ReplicatedState<S>,
    state_is: StateIs,
    known: Option<Known>,
}

/// What the state holds at the moment: planning a change carries it out on the same machine.
#[derive(PartialEq, Eq)]
enum StateIs {
    Known,
    Planned,
}

struct Known {
    revision: u64,
    founding: Founding,
    snapshot: Snapshot,
    bytes: usize,
}

/// A change that is to be put into etcd.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// A request of the embedder.
    Request { seq: u64, floor: u64, body: Vec<u8> },
    /// A step of membership.
    Membership(MembershipChange),
}

/// A new value and the revision that it follows.
pub(super) struct Plan {
    pub(super) base: u64,
    pub(super) bytes: Vec<u8>,
}

/// Why this member can believe in its record no longer. It stops: going on could mean two truths.
#[derive(Debug, thiserror::Error)]
pub(super) enum Doubt {
    #[error("the record in etcd was set back: this server knows its index {known}, etcd has {found}")]
    SetBack { known: u64, found: u64 },
    #[error("the record in etcd was set back: this server knows its revision {known}, etcd has {found}")]
    RevisionSetBack { known: u64, found: u64 },
    #[error("the group was founded again in etcd: this server belongs to {known}, etcd has {found}")]
    FoundedAgain { known: Founding, found: Founding },
    #[error("the key holds the record of the group `{found}`")]
    OtherGroup { found: String },
    #[error(transparent)]
    Malformed(#[from] MalformedAnchor),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error("could not write down which group this server belongs to: {0}")]
    Disk(#[from] std::io::Error),
}

impl<S: StateMachine> Mirror<S> {
    pub(super) fn new(me: Member, cluster: String, identity: Identity, machine: S) -> Self {
        let start = identity.start();
        let empty = machine.snapshot();
        let state = ReplicatedState::new(machine);
        let (applied, _) = watch::channel(state.view());
        let inner = Inner { identity, empty, state, state_is: StateIs::Known, known: None };
        Self { me, cluster, start, inner: Mutex::new(inner), applied }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Applied<S::View>> {
        self.applied.subscribe()
    }

    pub(super) fn view(&self) -> S::View {
        self.applied.borrow().view.clone()
    }

    /// The newest revision seen; 0 before the first.
    pub(super) fn revision(&self) -> u64 {
        self.lock().known.as_ref().map_or(0, |known| known.revision)
    }

    pub(super) fn index(&self) -> u64 {
        self.lock().known.as_ref().map_or(0, |known| known.snapshot.position.index)
    }

    pub(super) fn record_bytes(&self) -> usize {
        self.lock().known.as_ref().map_or(0, |known| known.bytes)
    }

    pub(super) fn membership(&self) -> Membership {
        self.lock().known.as_ref().map(|known| known.snapshot.membership.clone()).unwrap_or_default()
    }

    pub(super) fn is_member(&self) -> bool {
        self.lock().known.as_ref().is_some_and(|known| known.snapshot.membership.get(self.me.id).is_some())
    }

    /// The first anchor of a new group, whose only voter is this member.
    pub(super) fn founding(&self, founding: Founding) -> Vec<u8> {
        let snapshot = Snapshot {
            position: position(1),
            membership: Membership::single(self.me.clone()),
            sessions: no_sessions(),
            machine: self.lock().empty.clone(),
        };
        Anchor { cluster: self.cluster.clone(), founding, snapshot }.encode()
    }

    /// Takes a version that etcd has, unless a newer one is known. Whether it was news.
    pub(super) fn adopt(&self, version: &Version, etcd: Option<u64>) -> Result<bool, Doubt> {
        let mut inner = self.lock();
        if inner.known.as_ref().is_some_and(|known| version.revision <= known.revision) {
            return Ok(false);
        }
        let anchor = Anchor::decode(&version.bytes)?;
        self.check(&inner, &anchor)?;
        let index = anchor.snapshot.position.index;
        if let Some(etcd) = etcd {
            inner.identity.saw(Belongs { founding: anchor.founding, etcd, seen: index })?;
        }
        inner.state.restore(&anchor.snapshot)?;
        inner.state_is = StateIs::Known;
        let (before, bytes) = (inner.known.as_ref().map_or(0, |known| known.bytes), version.bytes.len());
        if bytes > ANCHOR_BYTES_HINT && before <= ANCHOR_BYTES_HINT {
            tracing::warn!(
                bytes,
                hint = ANCHOR_BYTES_HINT,
                "the record in etcd is large: every change writes all of it"
            );
        }
        let known =
            Known { revision: version.revision, founding: anchor.founding, snapshot: anchor.snapshot, bytes };
        inner.known = Some(known);
        // Under the lock, so that what is published never goes back.
        self.applied.send_replace(inner.state.view());
        Ok(true)
    }

    /// Whether the anchor goes on where this member was.
    fn check(&self, inner: &Inner<S>, anchor: &Anchor) -> Result<(), Doubt> {
        if anchor.cluster != self.cluster {
            return Err(Doubt::OtherGroup { found: anchor.cluster.clone() });
        }
        let found = anchor.snapshot.position.index;
        let (founding, least) = match (&inner.known, inner.identity.belongs()) {
            (Some(known), _) => (known.founding, known.snapshot.position.index + 1),
            (None, Some(belongs)) => (belongs.founding, belongs.seen),
            (None, None) => return Ok(()),
        };
        if anchor.founding != founding {
            return Err(Doubt::FoundedAgain { known: founding, found: anchor.founding });
        }
        if found < least { Err(Doubt::SetBack { known: least, found }) } else { Ok(()) }
    }

    /// The value that etcd is to have after these changes; none before there is a record. Each change is carried out
    /// on what is known, so the plan is good for nothing when etcd has moved on.
    pub(super) fn plan(&self, changes: &[Change]) -> Result<Option<Plan>, Doubt> {
        let mut inner = self.lock();
        inner.return_to_known()?;
        let Inner { state, state_is, known: Some(known), .. } = &mut *inner else { return Ok(None) };
        *state_is = StateIs::Planned;
        let moved = state.membership().get(self.me.id).is_some_and(|me| me.address != self.me.address);
        if moved {
            let to = Command::Move { id: self.me.id, address: self.me.address.clone() };
            step(state, |state, index| state.command(index, &to.encode()))?;
        }
        for change in changes {
            match change {
                Change::Membership(change) => step(state, |state, _| {
                    state.change(change);
                    Ok(())
                })?,
                Change::Request { seq, floor, body } => {
                    let stamp = Stamp { member: self.me.id, start: self.start, seq: *seq, floor: *floor };
                    let request = Command::Request { stamp, body: body.clone() };
                    step(state, |state, index| state.command(index, &request.encode()))?;
                }
            }
        }
        let anchor =
            Anchor { cluster: self.cluster.clone(), founding: known.founding, snapshot: state.snapshot() };
        Ok(Some(Plan { base: known.revision, bytes: anchor.encode() }))
    }

    /// The answer to an own request, once it is part of the record.
    pub(super) fn answer(&self, seq: u64) -> Result<Option<Vec<u8>>, Doubt> {
        let mut inner = self.lock();
        inner.return_to_known()?;
        Ok(inner.state.answer(self.me.id, self.start, seq).map(<[u8]>::to_vec))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StateMachine> Inner<S> {
    fn return_to_known(&mut self) -> Result<(), RestoreError> {
        if let Some(known) = self.known.as_ref().filter(|_| self.state_is == StateIs::Planned) {
            self.state.restore(&known.snapshot)?;
            self.state_is = StateIs::Known;
        }
        Ok(())
    }
}

/// One change, one index.
fn step<S: StateMachine>(
    state: &mut ReplicatedState<S>,
    change: impl FnOnce(&mut ReplicatedState<S>, u64) -> Result<(), ApplyError>,
) -> Result<(), ApplyError> {
    let index = state.applied().index + 1;
    change(state, index)?;
    state.pass(position(index));
    Ok(())
}
