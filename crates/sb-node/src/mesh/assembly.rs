//! This server's part in the mesh, put together: brought up before anything listens on its address, then kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sb_client::trust::Credentials;
use sb_consensus::Store;
use sb_topology::{NetworkSettings, ServerName, Topology};
use sb_wireguard::DesiredError;
use tokio_util::sync::CancellationToken;

use super::agreement::AgreementLine;
use super::callers::Callers;
use super::exchange::Exchange;
use super::firewall::Firewall;
use super::health::{Circle, Prober};
use super::key_file::KeyFileError;
use super::knowledge::Knowledge;
use super::planner::Planner;
use super::preshared::{PairFile, PresharedKeeper, PresharedLine, callers};
use super::proposer::Proposer;
use super::reconcile::Reconciler;
use super::rotation::{FilesError, KeyLine, OwnRotation, RotationFiles, Rotator};
use super::upkeep::{Upkeep, UpkeepError};
use super::wanted::{Documents, Wanted};
use crate::Layout;
use crate::journal::{Entry, Journal};
use crate::postgres::chain;
use crate::replicated::Replicated;
use crate::troubles::Troubles;

/// The mesh cannot be brought up, or be kept.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The server has no usable key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// What a replacement of the key has left on disk cannot be read or put right.
    #[error("could not go on with the replacement of the WireGuard key")]
    Rotation(#[source] FilesError),
    /// The documents give no interface.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// The interface cannot be had.
    #[error("could not bring the mesh up")]
    Upkeep(#[from] UpkeepError),
}

impl From<FilesError> for MeshError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::Key(error) => Self::Key(error),
            error @ FilesError::File { .. } => Self::Rotation(error),
        }
    }
}

/// What the mesh works with once the agent has its store.
pub(crate) struct Surroundings {
    /// The store.
    pub(crate) store: Store<Replicated>,
    /// The topology in force.
    pub(crate) topology: Arc<Topology>,
    /// This server.
    pub(crate) own: ServerName,
    /// Trust among peers.
    pub(crate) credentials: Arc<Credentials>,
}

/// A part of the agent, by the name that it is told under.
pub(crate) type Part = (&'static str, Pin<Box<dyn Future<Output = ()> + Send>>);

/// This server's part in the mesh.
pub(crate) struct Mesh {
    knowledge: Knowledge,
    line: AgreementLine,
    reconciler: Reconciler,
    prober: Prober,
}

impl Mesh {
    /// Brings the interface up with every peer whose key is known, so that the mesh address can be listened on;
    /// [`None`] where the topology names no key for this server: the addresses are somebody else's to provide.
    ///
    /// What was agreed last is in force from the first moment: the store, which knows better, is reached through the
    /// mesh.
    ///
    /// # Errors
    /// When this server's key is missing, or another one on a server that has not belonged to the cluster yet, or the
    /// system refuses the interface.
    pub(crate) async fn bring_up(
        layout: &Layout,
        topology: &Topology,
        settings: &NetworkSettings,
        own: &ServerName,
        journal: Arc<Journal>,
        troubles: Arc<Troubles>,
    ) -> Result<Option<Self>, MeshError> {
        if topology.server(own).is_none_or(|server| server.public_key.is_none()) {
            // Rules of an earlier cluster would shut this one out; without `nft` there are none.
            // Nobody waits for it: a restarted agent has to be back within a fraction of the lease.
            let interface = settings.interface.clone();
            tokio::spawn(async move {
                if let Err(error) = Firewall::withdraw(&interface).await {
                    tracing::debug!(%error, "could not look for the rules of an earlier mesh");
                }
            });
            return Ok(None);
        }
        let line = AgreementLine::open(layout, journal.clone(), troubles.clone());
        let agreed = line.watch().borrow().agreed.clone();
        let wanted = Wanted::new(topology, settings, own);
        let files = RotationFiles::new(layout);
        let rotation = OwnRotation::open(own, wanted.documented_key(), files, &agreed)?;
        let known_by = rotation.known_by(&agreed);
        let desired = match wanted.by_documents(&agreed, &known_by) {
            // A member that does not start could cost a healthy primary. Each look complains.
            Err(_) if layout.topology_file().exists() => wanted.with_the_key(&known_by)?,
            desired => desired?,
        };
        let circle = Circle::of(&desired);
        let mut upkeep = Upkeep::new(desired, rotation.private_key().clone(), settings.mode);
        upkeep.callers = Callers::open(layout.mesh_callers_file());
        let firewall = Firewall::of(topology, settings);
        let (keys, orders) = KeyLine::new();
        let rotator = Rotator::new(own, wanted.others(), rotation, (keys.clone(), orders), journal.clone());
        let (secrets, orders) = PresharedLine::new();
        let servers = topology.servers().map(|server| server.name.clone());
        let file = open_pairs(layout, &journal);
        let preshared = PresharedKeeper::new(own, servers, file, (secrets.clone(), orders), journal.clone());
        let mut knowledge = Knowledge::new(line.watch(), keys, secrets);
        knowledge.operators = settings.operators.iter().map(|operator| operator.mesh_address).collect();
        let prober = Prober::new(
            &circle,
            knowledge.sessions.subscribe(),
            knowledge.findings.clone(),
            knowledge.sights.clone(),
        );
        let addresses = topology.servers().map(|server| (server.name.clone(), server.mesh_address)).collect();
        let documents = Box::new(move |agreed: &_, key: &_| wanted.by_documents(agreed, key));
        let (shared, keys) = (knowledge.clone(), (documents as Documents, rotator, preshared));
        let mut reconciler = Reconciler::new(upkeep, keys, firewall, addresses, shared, journal, troubles);
        reconciler.begin().await?;
        Ok(Some(Self { knowledge, line, reconciler, prober }))
    }

    /// What this server knows of the mesh, from now on.
    pub(crate) fn knowledge(&self) -> Knowledge {
        self.knowledge.clone()
    }

    /// All that keeps the mesh, until `stop`.
    pub(crate) fn into_parts(self, with: &Surroundings, stop: &CancellationToken) -> Vec<Part> {
        let Self { knowledge, line, reconciler, prober } = self;
        let words = knowledge.words.clone();
        let agreed = knowledge.agreed.clone();
        let exchange = Exchange::new(&with.topology, &with.own, &with.credentials, words.clone(), agreed);
        let proposer = Proposer::new(with.store.clone(), knowledge.agreed.clone());
        let servers = with.topology.servers().map(|server| server.name.clone()).collect();
        let planner = Planner::new(with.store.clone(), with.own.clone(), servers, knowledge);
        let callers = callers(&with.topology, &with.own, &with.credentials);
        let line = line.run(with.store.clone(), words.subscribe(), stop.clone());
        vec![
            ("the mesh", Box::pin(reconciler.keep(proposer, callers, stop.clone()))),
            ("the probes of the mesh", Box::pin(prober.run(stop.clone()))),
            ("the exchange of words about the mesh", Box::pin(exchange.run(stop.clone()))),
            ("the agreement about the mesh", Box::pin(line)),
            ("the plan of relays", Box::pin(planner.run(stop.clone()))),
        ]
    }
}

/// Without a usable file the server shares nothing with anybody: a healthy one must not stay away for that, and those that it
/// reaches by another way share something new with it.
fn open_pairs(layout: &Layout, journal: &Journal) -> PairFile {
    PairFile::open(layout).unwrap_or_else(|error| {
        let message = "this server's preshared keys cannot be used";
        journal.record(Entry::new("mesh.preshared.lost", message).detail(chain(&error)));
        PairFile::empty(layout)
    })
}
