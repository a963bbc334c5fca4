use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::error::{ChangeError, ProposeError, ReadError, ServeError};
use crate::limits::REQUEST_BYTES_MAX;
use crate::store::Backend;
use crate::{
    Applied, BoxedStream, ChangeRejected, DiskHealth, LeaderInfo, Member, MemberId, Membership,
    MembershipChange, Role, StateMachine, Store, StoreHealth,
};

/// The memory backend: one state machine in one process, for tests.
///
/// Its members share the state, so they are always at the same place; there is nothing to lose and nobody to wait
/// for. Roles, membership and errors follow the same rules as on Raft.
pub struct MemoryStore<S: StateMachine> {
    group: Arc<Mutex<Group<S>>>,
}

struct Group<S: StateMachine> {
    machine: S,
    membership: Membership,
    leader: Option<MemberId>,
    raft_term: u64,
    applied: watch::Sender<Applied<S::View>>,
    running: BTreeMap<MemberId, (Member, watch::Sender<StoreHealth>)>,
}

impl<S: StateMachine> MemoryStore<S> {
    /// A new group whose only voter has this name.
    #[must_use]
    pub fn bootstrap(name: &str, machine: S) -> (Self, Store<S>) {
        let (applied, _) = watch::channel(Applied { index: 1, view: machine.view() });
        let group = Group {
            machine,
            membership: Membership::default(),
            leader: None,
            raft_term: 1,
            applied,
            running: BTreeMap::new(),
        };
        let memory = Self { group: Arc::new(Mutex::new(group)) };
        let store = memory.open(name);
        let mut group = lock(&memory.group);
        group.membership = Membership::single(store.member().clone());
        group.elect();
        group.publish_health();
        drop(group);
        (memory, store)
    }

    /// Another server, under a new incarnation: no member until it is added.
    #[must_use]
    pub fn open(&self, name: &str) -> Store<S> {
        let member = Member { id: MemberId::random(), name: name.into(), address: "memory".into() };
        let mut group = lock(&self.group);
        let (sender, health) = watch::channel(group.health_of(member.id));
        group.running.insert(member.id, (member.clone(), sender));
        let applied = group.applied.subscribe();
        drop(group);
        Store::new(MemoryBackend { group: Arc::clone(&self.group), member, applied, health })
    }
}

impl<S: StateMachine> Group<S> {
    /// The first running voter leads when nobody does.
    fn elect(&mut self) {
        let able = |id: &MemberId| self.membership.is_voter(*id) && self.running.contains_key(id);
        if self.leader.as_ref().is_none_or(|id| !able(id)) {
            self.leader = self.membership.voters().map(|voter| voter.id).find(able);
            self.raft_term += 1;
        }
    }

    fn index(&self) -> u64 {
        self.applied.borrow().index
    }

    fn apply(&mut self, request: &S::Request) -> S::Outcome {
        let outcome = self.machine.apply(request);
        let applied = Applied { index: self.index() + 1, view: self.machine.view() };
        self.applied.send_replace(applied);
        self.publish_health();
        outcome
    }

    fn change(&mut self, change: &MembershipChange) -> Result<(), ChangeRejected> {
        self.membership.apply(change)?;
        self.elect();
        self.publish_health();
        Ok(())
    }

    fn publish_health(&self) {
        for (id, (_, health)) in &self.running {
            health.send_replace(self.health_of(*id));
        }
    }

    fn health_of(&self, id: MemberId) -> StoreHealth {
        let role = match self.leader {
            _ if self.membership.was_removed(id) => Role::Removed,
            _ if self.membership.is_learner(id) => Role::Learner,
            _ if !self.membership.is_voter(id) => Role::Outsider,
            Some(leader) if leader == id => Role::Leader,
            _ => Role::Follower,
        };
        let belongs = self.membership.get(id).is_some();
        let name = |id| self.membership.get(id).map(|member| member.name.clone());
        let leader = self.leader.filter(|_| belongs).map(|id| LeaderInfo { id, name: name(id) });
        StoreHealth {
            role,
            leader,
            raft_term: self.raft_term,
            commit_index: self.index(),
            applied_index: self.index(),
            quorum_contact_age_ms: belongs.then_some(0),
            membership: if belongs { self.membership.clone() } else { Membership::default() },
            progress: BTreeMap::new(),
            disk: DiskHealth::Ok,
            etcd: None,
            failure: None,
        }
    }
}

struct MemoryBackend<S: StateMachine> {
    group: Arc<Mutex<Group<S>>>,
    member: Member,
    applied: watch::Receiver<Applied<S::View>>,
    health: watch::Receiver<StoreHealth>,
}

/// Why a call cannot be carried out at once.
enum Obstacle {
    Stopped,
    NoLeader,
}

impl<S: StateMachine> MemoryBackend<S> {
    /// Does something with the group as soon as this member belongs to it and somebody leads.
    async fn with_group<T>(
        &self,
        within: Duration,
        mut act: impl FnMut(&mut Group<S>) -> T + Send,
    ) -> Result<T, Obstacle> {
        let mut health = self.health.clone();
        let ready = health.wait_for(|now| now.role == Role::Stopped || now.leader.is_some());
        match tokio::time::timeout(within, ready).await {
            Ok(Ok(now)) if now.role != Role::Stopped => {}
            Ok(_) => return Err(Obstacle::Stopped),
            Err(_) => return Err(Obstacle::NoLeader),
        }
        Ok(act(&mut lock(&self.group)))
    }

    async fn change(&self, change: MembershipChange, within: Duration) -> Result<(), ChangeError> {
        match self.with_group(within, |group| group.change(&change)).await {
            Ok(Ok(()) | Err(ChangeRejected::Already(_))) => Ok(()),
            Ok(Err(rejected)) => Err(rejected.into()),
            Err(Obstacle::Stopped) => Err(ChangeError::Stopped),
            Err(Obstacle::NoLeader) => Err(ChangeError::Unavailable { within_ms: millis(within) }),
        }
    }
}

#[async_trait]
impl<S: StateMachine> Backend<S> for MemoryBackend<S> {
    fn member(&self) -> &Member {
        &self.member
    }

    async fn propose(&self, request: S::Request, within: Duration) -> Result<S::Outcome, ProposeError> {
        let unencodable = |error: serde_json::Error| ProposeError::Unencodable { reason: error.to_string() };
        let bytes = serde_json::to_vec(&request).map_err(unencodable)?.len();
        if bytes > REQUEST_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes });
        }
        let outcome = self.with_group(within, |group| group.apply(&request)).await;
        outcome.map_err(|obstacle| match obstacle {
            Obstacle::Stopped => ProposeError::Stopped,
            Obstacle::NoLeader => ProposeError::Unavailable { within_ms: millis(within) },
        })
    }

    async fn read(&self, within: Duration) -> Result<S::View, ReadError> {
        let view = self.with_group(within, |group| group.machine.view()).await;
        view.map_err(|obstacle| match obstacle {
            Obstacle::Stopped => ReadError::Stopped,
            Obstacle::NoLeader => ReadError::Unavailable { within_ms: millis(within) },
        })
    }

    fn watch(&self) -> watch::Receiver<Applied<S::View>> {
        self.applied.clone()
    }

    fn health(&self) -> watch::Receiver<StoreHealth> {
        self.health.clone()
    }

    async fn add_learner(&self, member: Member, within: Duration) -> Result<(), ChangeError> {
        member.validate().map_err(ChangeRejected::from)?;
        let earlier = lock(&self.group).membership.by_name(&member.name).map(|earlier| earlier.id);
        if let Some(earlier) = earlier.filter(|earlier| *earlier != member.id) {
            self.change(MembershipChange::Remove(earlier), within).await?;
        }
        self.change(MembershipChange::AddLearner(member), within).await
    }

    async fn promote(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        self.change(MembershipChange::Promote(id), within).await
    }

    async fn remove(&self, id: MemberId, within: Duration) -> Result<(), ChangeError> {
        match self.change(MembershipChange::Remove(id), within).await {
            Err(ChangeError::Rejected(ChangeRejected::Unknown(_) | ChangeRejected::Removed(_))) => Ok(()),
            done => done,
        }
    }

    async fn transfer_leadership(&self, to: MemberId, within: Duration) -> Result<(), ChangeError> {
        let moved = self.with_group(within, |group| {
            if !group.membership.is_voter(to) {
                return Err(ChangeError::NotAVoter(to));
            }
            group.leader = Some(to);
            group.raft_term += 1;
            group.publish_health();
            Ok(())
        });
        match moved.await {
            Ok(moved) => moved,
            Err(Obstacle::Stopped) => Err(ChangeError::Stopped),
            Err(Obstacle::NoLeader) => Err(ChangeError::Unavailable { within_ms: millis(within) }),
        }
    }

    async fn serve(&self, _stream: BoxedStream, _peer_name: &str) -> Result<(), ServeError> {
        Err(ServeError::Unsupported)
    }

    async fn shutdown(&self) {
        let mut group = lock(&self.group);
        if let Some((_, health)) = group.running.remove(&self.member.id) {
            health.send_modify(|health| {
                health.role = Role::Stopped;
                health.leader = None;
            });
        }
        group.elect();
        group.publish_health();
    }
}

fn millis(within: Duration) -> u64 {
    u64::try_from(within.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
