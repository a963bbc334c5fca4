//! The store that the policy chose, opened.

use std::sync::Arc;

use sb_client::state::Identity;
use sb_client::trust::Credentials;
use sb_consensus::{
    EtcdConfig, EtcdLogin, EtcdStore, EtcdTls, MakeRoom, MemberId, RaftConfig, RaftStore, RecoverError,
    Recovered, StateMachine, Store, belongs_to_etcd, holds_log,
};
use sb_failover::record::Recovery;
use sb_failover::{Rejection, Request};
use sb_topology::{EtcdPolicy, Server, StoreKind, StorePolicy, Topology};

use crate::dialer::PeerDialer;
use crate::journal::{Entry, Journal};
use crate::membership::peer_address;
use crate::replicated::Replicated;
use crate::reserve::Reserve;
use crate::{AgentError, Layout, founding};

/// What a server opens its store with.
pub struct StoreOpening<'a> {
    /// Directories.
    pub layout: &'a Layout,
    /// Who this server is.
    pub identity: &'a Identity,
    /// Its place.
    pub me: &'a Server,
    /// The topology in force, whose policy chose the kind of store.
    pub topology: &'a Topology,
    /// Trust among peers.
    pub credentials: &'a Credentials,
    /// For people.
    pub journal: &'a Journal,
    /// Room for the log when the disk is full.
    pub reserve: &'a Reserve,
}

impl StoreOpening<'_> {
    /// Opens the store that the policy chose.
    ///
    /// # Errors
    /// When it cannot be opened, or this server already belongs to a store of another kind.
    pub async fn open(&self, data_dir: &std::path::Path) -> Result<Store<Replicated>, AgentError> {
        self.refuse_other_kind()?;
        let begins = founding::begins_store(self, data_dir).await;
        if begins {
            self.journal.record(Entry::new("store.bootstrap", "this server begins the cluster's store"));
        }
        match &self.topology.policy().store {
            StorePolicy::Raft => {
                let dialer = Arc::new(PeerDialer::new(self.credentials)?);
                let machine = Replicated::default();
                Ok(if begins {
                    RaftStore::bootstrap(self.raft(), machine, dialer)?
                } else {
                    RaftStore::open(self.raft(), machine, dialer)?
                })
            }
            StorePolicy::Etcd(policy) => {
                let config = self.etcd(policy)?;
                let machine = Replicated::default();
                Ok(if begins {
                    EtcdStore::bootstrap(config, machine)?
                } else {
                    EtcdStore::open(config, machine)?
                })
            }
        }
    }

    /// Makes the log of `member` the beginning of a new store, with `recovery` as its first word.
    ///
    /// # Errors
    /// Why not; then the store is as it was.
    pub fn recover(
        &self,
        member: MemberId,
        recovery: &Recovery,
    ) -> Result<Recovered, RecoverError<Rejection>> {
        let first = Request::Recover { recovery: recovery.clone() };
        let change = |record: &mut Replicated| record.apply(&first);
        RaftStore::danger_recover(&self.raft(), Replicated::default(), member, change)
    }

    /// A server that began in one kind of store has its lease, its term and its promises there.
    fn refuse_other_kind(&self) -> Result<(), AgentError> {
        let chosen = self.topology.policy().store.kind();
        let other = match chosen {
            StoreKind::Raft => belongs_to_etcd(&self.layout.etcd_dir()).then_some(StoreKind::Etcd),
            StoreKind::Etcd => holds_log(&self.layout.raft_dir()).then_some(StoreKind::Raft),
        };
        match other {
            Some(found) => Err(AgentError::OtherStore { found: found.word(), chosen: chosen.word() }),
            None => Ok(()),
        }
    }

    fn raft(&self) -> RaftConfig {
        let timings = self.topology.policy().failover.timings;
        let (cluster, name) = (self.identity.cluster_id.as_str(), self.me.name.as_str());
        let mut raft =
            RaftConfig::new(cluster, self.layout.raft_dir(), name, peer_address(self.me).to_string());
        raft.timings.heartbeat_ms = clamp(timings.heartbeat_ms);
        raft.timings.election_min_ms = clamp(timings.election_min_ms);
        raft.timings.election_max_ms = clamp(timings.election_max_ms);
        let reserve = self.reserve.clone();
        raft.make_room = MakeRoom::call(move || reserve.make_room());
        raft
    }

    fn etcd(&self, policy: &EtcdPolicy) -> Result<EtcdConfig, AgentError> {
        let endpoints = policy.endpoints.iter().map(|url| url.to_string().parse());
        let tls = |ca_file: &std::path::PathBuf| EtcdTls {
            ca_file: ca_file.clone(),
            client: policy.client.clone(),
        };
        let login = |(username, password_file): &(String, std::path::PathBuf)| EtcdLogin {
            username: username.clone(),
            password_file: password_file.clone(),
        };
        Ok(EtcdConfig {
            cluster: self.identity.cluster_id.clone(),
            dir: self.layout.etcd_dir(),
            name: self.me.name.to_string(),
            address: peer_address(self.me).to_string(),
            endpoints: endpoints.collect::<Result<_, _>>()?,
            tls: policy.ca_file.as_ref().map(tls),
            login: policy.login.as_ref().map(login),
        })
    }
}

fn clamp(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}
