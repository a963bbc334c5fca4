//! Who belongs to the store: this server asks to be taken in, and the store's leader gives votes by the rule.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sb_api::{JoinAnswer, JoinRequest, Problem, Refused, StoreMember, StoreRole};
use sb_client::trust::Credentials;
use sb_client::{Client, PEER_PORT, Target};
use sb_consensus::{Member, MemberId, Role, Store, StoreHealth};
use sb_topology::{Server, ServerName, Topology};
use tokio_util::sync::CancellationToken;

use crate::replicated::Replicated;

/// How often membership is looked at, in milliseconds.
const ROUND_MS: u64 = 500;

/// Longest wait for one answer of a peer to a request to join, in milliseconds.
const JOIN_MS_MAX: u64 = 3_000;

/// Longest wait for one change of membership, in milliseconds.
const CHANGE_MS_MAX: u64 = 2_000;

/// Rounds that the lease's holder must have been another server before leadership of the store is given to it: the
/// two belong together, softly.
const SETTLED_ROUNDS: u32 = 10;

/// Keeps the store's membership as the topology wants it.
pub struct Membership {
    store: Store<Replicated>,
    topology: Arc<Topology>,
    me: Server,
    cluster_id: String,
    credentials: Arc<Credentials>,
    apart_rounds: u32,
}

/// Where a server accepts peers.
#[must_use]
pub fn peer_address(server: &Server) -> SocketAddr {
    SocketAddr::new(server.mesh_address, PEER_PORT)
}

impl Membership {
    /// Membership of `me`.
    #[must_use]
    pub fn new(
        store: Store<Replicated>,
        topology: Arc<Topology>,
        me: Server,
        cluster_id: String,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self { store, topology, me, cluster_id, credentials, apart_rounds: 0 }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let health = self.store.health().borrow().clone();
            match health.role {
                Role::Outsider if health.etcd.is_some() => self.join_by_itself().await,
                Role::Outsider => self.ask().await,
                Role::Leader => self.lead(&health).await,
                Role::Learner | Role::Follower | Role::Candidate | Role::Removed | Role::Stopped => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(ROUND_MS)) => {}
            }
        }
    }

    /// Whoever may write the record in etcd belongs to the cluster, and takes itself in.
    async fn join_by_itself(&self) {
        if let Err(error) = self.store.add_learner(self.store.member().clone(), change()).await {
            tracing::debug!(%error, "could not join the record in etcd");
        }
    }

    /// Asks every other server in turn until one takes this one in.
    async fn ask(&self) {
        let request = join_request(&self.store, &self.cluster_id, &self.me);
        for server in self.topology.servers().filter(|s| s.name != self.me.name) {
            let answer = self.ask_one(&server.name, peer_address(server), &request).await;
            let answer = match answer {
                Ok(JoinAnswer::Elsewhere { leader, address }) => {
                    self.ask_leader(&leader, address, &request).await
                }
                other => other,
            };
            match answer {
                Ok(JoinAnswer::Member { .. }) => return,
                Ok(JoinAnswer::Elsewhere { leader, .. }) => tracing::debug!(%leader, "sent on once more"),
                Err(error) => tracing::debug!(peer = %server.name, %error, "could not join"),
            }
        }
    }

    async fn ask_leader(
        &self,
        leader: &str,
        address: Option<String>,
        request: &JoinRequest,
    ) -> Result<JoinAnswer, String> {
        let name: ServerName = leader.parse().map_err(|_| format!("`{leader}` is no server"))?;
        let told = address.and_then(|text| text.parse().ok());
        let known = || self.topology.server(&name).map(peer_address);
        let address = told.or_else(known).ok_or_else(|| format!("nobody knows where `{name}` is"))?;
        self.ask_one(&name, address, request).await
    }

    async fn ask_one(
        &self,
        peer: &ServerName,
        address: SocketAddr,
        request: &JoinRequest,
    ) -> Result<JoinAnswer, String> {
        let target = Target::peer(peer.clone(), address, &self.credentials).map_err(|e| e.to_string())?;
        let client = Client::new(target).deadline(Duration::from_millis(JOIN_MS_MAX));
        client.join(request).await.map_err(|e| e.to_string())
    }

    /// Votes by the rule, and leadership beside the lease.
    async fn lead(&mut self, health: &StoreHealth) {
        let voters = self.topology.voters();
        let due = health.membership.learners().find(|member| {
            let chosen = member.name.parse::<ServerName>().is_ok_and(|name| voters.contains(&name));
            chosen && health.progress.get(&member.id).is_some_and(|p| p.caught_up)
        });
        if let Some(member) = due {
            tracing::info!(server = %member.name, "the server gets its vote in the store");
            if let Err(error) = self.store.promote(member.id, change()).await {
                tracing::warn!(server = %member.name, %error, "could not give the vote");
            }
            return;
        }
        self.follow_the_lease(health).await;
    }

    async fn follow_the_lease(&mut self, health: &StoreHealth) {
        let holder = self.store.watch().borrow().view.holder().cloned();
        let Some(holder) = holder.filter(|name| *name != self.me.name) else {
            self.apart_rounds = 0;
            return;
        };
        let target = health.membership.voters().find(|m| m.name == holder.as_str());
        let Some(target) = target.filter(|m| health.progress.get(&m.id).is_some_and(|p| p.caught_up)) else {
            return;
        };
        self.apart_rounds += 1;
        if self.apart_rounds >= SETTLED_ROUNDS {
            self.apart_rounds = 0;
            if let Err(error) = self.store.transfer_leadership(target.id, change()).await {
                tracing::debug!(%error, "could not give the store's leadership to the primary");
            }
        }
    }
}

/// What `me` says when it asks to be taken in.
#[must_use]
pub fn join_request(store: &Store<Replicated>, cluster_id: &str, me: &Server) -> JoinRequest {
    JoinRequest {
        cluster_id: cluster_id.to_owned(),
        incarnation: store.member().id.get(),
        address: peer_address(me).to_string(),
    }
}

/// Takes `peer` into the store, or says who can.
///
/// # Errors
/// A problem when the peer is of another cluster, unknown to the topology, or the store has no leader.
pub async fn admit(
    store: &Store<Replicated>,
    topology: &Topology,
    cluster_id: &str,
    peer: &ServerName,
    request: JoinRequest,
) -> Refused<JoinAnswer> {
    if request.cluster_id != cluster_id {
        return Err(Box::new(Problem::refused(
            "join.other_cluster",
            format!("`{peer}` belongs to another cluster"),
        )));
    }
    if topology.server(peer).is_none() {
        let title = format!("`{peer}` is not in the topology");
        return Err(Box::new(Problem::refused("join.unknown_server", title)));
    }
    let health = store.health().borrow().clone();
    if !health.is_leader() {
        return elsewhere(&health);
    }
    let unusable = || Box::new(Problem::new(400, "join.incarnation", "an incarnation is not 0"));
    let id = MemberId::new(request.incarnation).ok_or_else(unusable)?;
    let member = Member { id, name: peer.to_string(), address: request.address };
    store.add_learner(member, change()).await.map_err(|error| {
        let title = format!("could not take `{peer}` into the store");
        Box::new(Problem::unavailable("join.not_yet", title).detail(error.to_string()))
    })?;
    Ok(JoinAnswer::Member { members: members(&store.health().borrow()) })
}

fn elsewhere(health: &StoreHealth) -> Refused<JoinAnswer> {
    let leader = health.leader.as_ref().and_then(|leader| health.membership.get(leader.id));
    match leader {
        Some(leader) => {
            Ok(JoinAnswer::Elsewhere { leader: leader.name.clone(), address: Some(leader.address.clone()) })
        }
        None => {
            let title = "the store has no leader at present";
            Err(Box::new(Problem::unavailable("join.no_leader", title)))
        }
    }
}

fn members(health: &StoreHealth) -> Vec<StoreMember> {
    let leader = health.leader.as_ref().map(|leader| leader.id);
    let role = |member: &Member| match (leader == Some(member.id), health.membership.is_voter(member.id)) {
        (true, _) => StoreRole::Leader,
        (false, true) => StoreRole::Voter,
        (false, false) => StoreRole::Learner,
    };
    let member = |m: &Member| StoreMember {
        name: m.name.clone(),
        incarnation: m.id.get(),
        address: m.address.clone(),
        role: role(m),
    };
    health.membership.members().map(member).collect()
}

/// The part of every member in the store, by name.
#[must_use]
pub fn store_roles(health: &StoreHealth) -> BTreeMap<String, StoreRole> {
    members(health).into_iter().map(|member| (member.name, member.role)).collect()
}

const fn change() -> Duration {
    Duration::from_millis(CHANGE_MS_MAX)
}
