//! What this server knows of the mesh beyond its documents, shared by those who learn it and those who act on it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sb_api::{MeshPreshared, MeshProgress, MeshStatus, MeshWord};
use sb_topology::ServerName;
use sb_wireguard::rotation::Record;
use tokio::sync::watch;

use super::agreement::Known;
use super::exchange::{Words, reports};
use super::health::{Findings, Sessions};
use super::preshared::PresharedLine;
use super::rotation::KeyLine;
use super::sights::Sights;

/// Whether a server can pass others' packets on, as far as it knows. What another packet filter of its host drops it does not
/// know: the ends of a relay notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Carrying {
    /// Nothing is known that would forbid it.
    #[default]
    Able,
    /// The packet filter or the kernel refuses.
    Unable,
}

/// What is known; clones share it.
#[derive(Clone)]
pub struct Knowledge {
    /// How the direct session with each other server is found.
    pub(super) sights: watch::Sender<Sights>,
    /// How far this server has followed the replacement of another's key; [`None`] while none goes on.
    pub(super) progress: watch::Sender<Option<(Record, MeshProgress)>>,
    /// What the other servers said last.
    pub(super) words: watch::Sender<Words>,
    /// The newest agreement.
    pub(super) agreed: watch::Receiver<Arc<Known>>,
    /// What the interface says of the direct sessions, at the last look.
    pub(super) sessions: watch::Sender<Sessions>,
    /// What probes tell of the ways to the other servers.
    pub(super) findings: watch::Sender<Findings>,
    /// What is told of the interface, after each look at it.
    pub(super) status: watch::Sender<Option<MeshStatus>>,
    /// Whether this server can pass others' packets on.
    pub(super) carrying: watch::Sender<Carrying>,
    /// The mesh addresses of people's machines.
    pub(crate) operators: Vec<IpAddr>,
    /// Where this server's key is replaced.
    pub(crate) keys: KeyLine,
    /// Where this server's preshared keys are kept.
    pub(crate) preshared: PresharedLine,
}

impl Knowledge {
    /// Nothing but the agreement.
    pub(super) fn new(agreed: watch::Receiver<Arc<Known>>, keys: KeyLine, preshared: PresharedLine) -> Self {
        Self {
            sights: watch::Sender::default(),
            progress: watch::Sender::default(),
            words: watch::Sender::default(),
            agreed,
            sessions: watch::Sender::default(),
            findings: watch::Sender::default(),
            status: watch::Sender::default(),
            carrying: watch::Sender::default(),
            operators: Vec::new(),
            keys,
            preshared,
        }
    }

    /// What the other servers are told, from memory.
    #[must_use]
    pub fn word(&self) -> MeshWord {
        let now = Instant::now();
        MeshWord {
            sights: self.sights.borrow().told(now),
            relays: self.sights.borrow().told_relays(now),
            cannot_carry: *self.carrying.borrow() == Carrying::Unable,
            rotation: self.followed(),
            agreed: self.agreed.borrow().told.clone(),
            reports: reports(&self.words.borrow(), now),
            preshared: self.preshared.told(),
        }
    }

    /// How far this server has followed the replacement that is agreed on, not one before it.
    fn followed(&self) -> Option<MeshProgress> {
        let (record, progress) = self.progress.borrow().clone()?;
        (self.agreed.borrow().agreed.rotation == Some(record)).then_some(progress)
    }

    /// Whose key is being replaced.
    pub(crate) fn rotation_of(&self) -> Option<ServerName> {
        self.agreed.borrow().agreed.rotation.as_ref().map(|record| record.server.clone())
    }

    /// Where the preshared keys stand that `maker` makes, `own` being this server; [`None`] when it has not said so within the
    /// last `limit`.
    pub(crate) fn preshared_of(
        &self,
        maker: &ServerName,
        own: &ServerName,
        limit: Duration,
    ) -> Option<Vec<MeshPreshared>> {
        if maker == own {
            return Some(self.preshared.told());
        }
        let words = self.words.borrow();
        words.get(maker).filter(|heard| heard.at.elapsed() <= limit).map(|it| it.word.preshared.clone())
    }

    /// How many other servers have said something within the last `limit`.
    pub(crate) fn heard_within(&self, limit: Duration) -> usize {
        self.words.borrow().values().filter(|heard| heard.at.elapsed() <= limit).count()
    }

    /// The interface as it was at the last look; [`None`] before the first.
    #[must_use]
    pub fn status(&self) -> Option<MeshStatus> {
        self.status.borrow().clone()
    }
}
