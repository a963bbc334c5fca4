//! Who belongs to the store: this server asks to be taken in, and the store's leader gives votes by the rule.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sb_api::{JoinAnswer, JoinRequest, Problem, Refused, StoreMember, StoreRole};
use sb_client::trust::Credentials;
use sb_client::{CallError, Client, PEER_PORT, Target};
use sb_consensus::{Member, MemberId, Role, Store, StoreHealth};
use sb_failover::record::Branch;
use sb_topology::{Server, ServerName, Topology};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::replicated::Replicated;

/// How often membership is looked at, in milliseconds.
const ROUND_MS: u64 = 500;

/// Longest wait for one answer of a peer to a request to join, in milliseconds.
const JOIN_MS_MAX: u64 = 3_000;

/// The problem of a server that was given up.
const GIVEN_UP: &str = "join.given_up";

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
    generation: u64,
    refused: watch::Sender<Option<String>>,
    apart_rounds: u32,
}

/// Where a server accepts peers.
#[must_use]
pub fn peer_address(server: &Server) -> SocketAddr {
    SocketAddr::new(server.mesh_address, PEER_PORT)
}

impl Membership {
    /// Membership of `me`, which has heard of a store of `generation`; and why it is kept out, while it is.
    #[must_use]
    pub fn new(
        store: Store<Replicated>,
        topology: Arc<Topology>,
        me: Server,
        cluster_id: String,
        credentials: Arc<Credentials>,
        generation: u64,
    ) -> (Self, watch::Receiver<Option<String>>) {
        let (refused, kept_out) = watch::channel(None);
        let membership =
            Self { store, topology, me, cluster_id, credentials, generation, refused, apart_rounds: 0 };
        (membership, kept_out)
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
        let request = join_request(&self.store, &self.cluster_id, &self.me, self.generation);
        for server in self.topology.servers().filter(|s| s.name != self.me.name) {
            let answer = self.ask_one(&server.name, peer_address(server), &request).await;
            let answer = match answer {
                Ok(JoinAnswer::Elsewhere { leader, address }) => {
                    self.ask_leader(&leader, address, &request).await
                }
                other => other,
            };
            match answer {
                Ok(JoinAnswer::Member { .. }) => {
                    self.refused.send_replace(None);
                    return;
                }
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
        let answer = client.join(request).await;
        if let Err(CallError::Problem(problem)) = &answer
            && problem.code == GIVEN_UP
        {
            self.refused.send_replace(Some(problem.title.clone()));
        }
        answer.map_err(|e| e.to_string())
    }

    /// Votes by the rule, and leadership beside the lease.
    async fn lead(&mut self, health: &StoreHealth) {
        let record = self.store.watch().borrow().view.clone();
        let voters = self.topology.voters_without(&record.branch.given_up);
        let due = health.membership.learners().find(|member| {
            let name = member.name.parse::<ServerName>();
            let chosen =
                name.is_ok_and(|name| voters.contains(&name) && !self.is_stood_in_for(&name, health));
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

    /// Whether another server of the site got the vote while this one was given up. No vote is ever taken away, and two
    /// of one site would fail together.
    fn is_stood_in_for(&self, name: &ServerName, health: &StoreHealth) -> bool {
        let voters = self.topology.voters();
        let site = self.topology.site_of(name).map(|site| site.name.clone());
        let sitting = health.membership.voters().filter_map(|member| member.name.parse::<ServerName>().ok());
        let mut others = sitting.filter(|other| other != name && !voters.contains(other));
        others.any(|other| self.topology.site_of(&other).map(|site| site.name.clone()) == site)
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
pub fn join_request(
    store: &Store<Replicated>,
    cluster_id: &str,
    me: &Server,
    generation: u64,
) -> JoinRequest {
    JoinRequest {
        cluster_id: cluster_id.to_owned(),
        incarnation: store.member().id.get(),
        address: peer_address(me).to_string(),
        generation,
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
    let record = store.watch().borrow().view.clone();
    refuse_by_branch(&record.branch, peer, request.generation)?;
    let unusable = || Box::new(Problem::new(400, "join.incarnation", "an incarnation is not 0"));
    let id = MemberId::new(request.incarnation).ok_or_else(unusable)?;
    let member = Member { id, name: peer.to_string(), address: request.address };
    store.add_learner(member, change()).await.map_err(|error| {
        let title = format!("could not take `{peer}` into the store");
        Box::new(Problem::unavailable("join.not_yet", title).detail(error.to_string()))
    })?;
    Ok(JoinAnswer::Member { members: members(&store.health().borrow()) })
}

/// Keeps out who was given up, and who knows that this store was.
fn refuse_by_branch(branch: &Branch, peer: &ServerName, generation: u64) -> Refused<()> {
    if generation > branch.generation {
        let title = "this store was given up, and another one recovered in its place";
        let problem = Problem::refused("join.older_store", title);
        let own = branch.generation;
        return Err(Box::new(
            problem.detail(format!("It is generation {own}, `{peer}` knows {generation}.")),
        ));
    }
    if branch.given_up.contains(peer) {
        return Err(Box::new(Problem::refused(GIVEN_UP, given_up(peer))));
    }
    Ok(())
}

/// What a person is told about a server that was declared lost.
#[must_use]
pub fn given_up(server: &ServerName) -> String {
    format!(
        "`{server}` was declared lost and stays out until a person lets it back in: sb-cli server rejoin {server}"
    )
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

/// The part of every member in the store, by name; none in an etcd, whose own members vote.
#[must_use]
pub fn store_roles(health: &StoreHealth) -> BTreeMap<String, StoreRole> {
    if health.etcd.is_some() {
        return BTreeMap::new();
    }
    members(health).into_iter().map(|member| (member.name, member.role)).collect()
}

const fn change() -> Duration {
    Duration::from_millis(CHANGE_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_was_given_up_and_one_that_knows_a_newer_store_are_kept_out() {
        let peer: ServerName = "ravena-1".parse().unwrap();
        let branch = Branch { generation: 1, last: Some(7), given_up: [peer.clone()].into() };
        let code = |branch: &Branch, peer: &str, generation| {
            refuse_by_branch(branch, &peer.parse().unwrap(), generation).err().map(|problem| problem.code)
        };
        assert_eq!(code(&branch, "ravena-1", 1).as_deref(), Some(GIVEN_UP));
        assert_eq!(code(&branch, "tucson-1", 1), None);
        assert_eq!(code(&branch, "tucson-1", 0), None);
        assert_eq!(code(&Branch::default(), "tucson-1", 1).as_deref(), Some("join.older_store"));
    }
}
