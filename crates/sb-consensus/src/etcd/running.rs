use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::{DiskHealth, EtcdHealth, Member, Role, StateMachine, StoreHealth};

use super::gateway::{CallError, Found, Gateway, Version, millis};
use super::mirror::{Doubt, Mirror};

/// What the parts of a running member share.
pub(super) struct Running<S: StateMachine> {
    pub(super) me: Member,
    pub(super) key: String,
    pub(super) gateway: Gateway,
    pub(super) mirror: Mirror<S>,
    pub(super) health: watch::Sender<StoreHealth>,
    contact: Mutex<Option<Instant>>,
    missing: AtomicBool,
}

/// Why the newest state is not known.
#[derive(Debug)]
pub(super) enum Unread {
    /// No answer; it can be asked again.
    Call(CallError),
    /// There is no record.
    Missing,
    /// What was found cannot be.
    Doubt(Doubt),
}

impl<S: StateMachine> Running<S> {
    pub(super) fn new(me: Member, key: String, gateway: Gateway, mirror: Mirror<S>) -> Self {
        let (health, _) = watch::channel(empty_health());
        let (contact, missing) = (Mutex::default(), AtomicBool::new(false));
        let shared = Self { me, key, gateway, mirror, health, contact, missing };
        shared.publish_health();
        shared
    }

    /// The newest state is known here afterwards: everything that was answered anywhere before this call.
    pub(super) async fn refresh(&self, limit: Duration) -> Result<(), Unread> {
        let known = self.mirror.revision();
        let found = self.gateway.read(known, limit).await.map_err(Unread::Call)?;
        self.contacted();
        match found {
            Found::Unchanged => {}
            Found::Newer(version) => self.adopt(&version).map_err(Unread::Doubt)?,
            Found::Older { revision } => {
                return Err(Unread::Doubt(Doubt::RevisionSetBack { known, found: revision }));
            }
            Found::Missing => {
                self.note_missing();
                return Err(Unread::Missing);
            }
        }
        self.missing.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Takes what etcd has, and tells everybody.
    pub(super) fn adopt(&self, version: &Version) -> Result<(), Doubt> {
        self.contacted();
        if self.mirror.adopt(version, self.gateway.etcd())? {
            self.publish_health();
        }
        Ok(())
    }

    /// Waits until a newer revision than this is known.
    pub(super) async fn beyond(&self, revision: u64) {
        let mut applied = self.mirror.watch();
        while self.mirror.revision() <= revision {
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    /// A record that was there and is gone needs a person: nothing here may make another.
    pub(super) fn note_missing(&self) {
        if self.mirror.revision() > 0 && !self.missing.swap(true, Ordering::Relaxed) {
            tracing::error!(key = %self.key, "the record is gone from etcd: nobody can hold the lease until it is put back");
        }
    }

    fn contacted(&self) {
        *self.contact.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Instant::now());
    }

    pub(super) fn publish_health(&self) {
        let contact = *self.contact.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let membership = self.mirror.membership();
        let role = match self.me.id {
            id if membership.was_removed(id) => Role::Removed,
            id if membership.is_learner(id) => Role::Learner,
            id if membership.is_voter(id) => Role::Follower,
            _ => Role::Outsider,
        };
        let index = self.mirror.index();
        let etcd = EtcdHealth {
            endpoints: self.gateway.endpoints(),
            record_bytes: self.mirror.record_bytes(),
            key: self.key.clone(),
        };
        let health = StoreHealth {
            role,
            commit_index: index,
            applied_index: index,
            quorum_contact_age_ms: contact.map(|at| millis(at.elapsed())),
            membership,
            etcd: Some(etcd),
            ..empty_health()
        };
        self.health.send_if_modified(|known| {
            let live = known.role != Role::Stopped;
            if live {
                *known = health;
            }
            live
        });
    }
}

fn empty_health() -> StoreHealth {
    StoreHealth {
        role: Role::Outsider,
        leader: None,
        raft_term: 0,
        commit_index: 0,
        applied_index: 0,
        quorum_contact_age_ms: None,
        membership: crate::Membership::default(),
        progress: std::collections::BTreeMap::new(),
        disk: DiskHealth::Ok,
        etcd: None,
        failure: None,
    }
}
