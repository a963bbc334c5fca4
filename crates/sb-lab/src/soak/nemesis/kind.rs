//! The kinds of faults.

use std::fmt;

use super::{Draw, EtcdKind};
use crate::fault::{Fault, Part, Target};
use crate::place::Place;

/// Packets lost per million where a network is bad: 30 %.
const LOSS_PER_MILLION: u32 = 300_000;

/// How much longer every sync takes on a bad disk.
const SLOW_SYNC_MS: u32 = 400;

/// What a kind of fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One server's processes: writes should be back within five seconds.
    OneHost,
    /// Its disk, the network, a whole site.
    Wider,
}

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each says what it is; what it does is in `Kind::begin`")]
pub enum Kind {
    KillAgent,
    KillGuard,
    KillPostgres,
    KillHost,
    KillStoreLeader,
    FreezeAgent,
    FreezeGuard,
    FreezePostgres,
    FreezeHost,
    CutOneWay,
    CutBothWays,
    CutIntransitive,
    IsolateSite,
    LosePackets,
    FullDisk,
    SlowSync,
    UpgradeAgent,
    Switchover,
    #[serde(untagged)]
    Etcd(EtcdKind),
}

impl Kind {
    /// All of them, but those of an etcd.
    pub const ALL: [Self; 18] = [
        Self::KillAgent,
        Self::KillGuard,
        Self::KillPostgres,
        Self::KillHost,
        Self::KillStoreLeader,
        Self::FreezeAgent,
        Self::FreezeGuard,
        Self::FreezePostgres,
        Self::FreezeHost,
        Self::CutOneWay,
        Self::CutBothWays,
        Self::CutIntransitive,
        Self::IsolateSite,
        Self::LosePackets,
        Self::FullDisk,
        Self::SlowSync,
        Self::UpgradeAgent,
        Self::Switchover,
    ];

    /// What it touches.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::KillAgent
            | Self::KillGuard
            | Self::KillPostgres
            | Self::KillHost
            | Self::KillStoreLeader
            | Self::FreezeAgent
            | Self::FreezeGuard
            | Self::FreezePostgres
            | Self::FreezeHost
            | Self::UpgradeAgent
            | Self::Switchover => Scope::OneHost,
            Self::CutOneWay
            | Self::CutBothWays
            | Self::CutIntransitive
            | Self::IsolateSite
            | Self::LosePackets
            | Self::FullDisk
            | Self::SlowSync => Scope::Wider,
            Self::Etcd(kind) => kind.scope(),
        }
    }

    /// The faults that begin it at `victim`; none where it is asked for over the API.
    #[must_use]
    pub fn begin(self, victim: Place, draw: &Draw) -> Vec<Fault> {
        let target = Target::from(victim);
        let others = Place::servers().filter(|place| *place != victim);
        vec![match self {
            Self::KillAgent | Self::KillStoreLeader => Fault::Kill(target, Part::Agent),
            Self::KillGuard => Fault::Kill(target, Part::Guard),
            Self::KillPostgres => Fault::Kill(target, Part::Postgres),
            Self::KillHost => Fault::Kill(target, Part::Host),
            Self::FreezeAgent => Fault::Freeze(target, Part::Agent),
            Self::FreezeGuard => Fault::Freeze(target, Part::Guard),
            Self::FreezePostgres => Fault::Freeze(target, Part::Postgres),
            Self::FreezeHost => Fault::Freeze(target, Part::Host),
            // It hears everybody, and nobody hears it.
            Self::CutOneWay => return others.map(|other| Fault::Cut(target.clone(), other.into())).collect(),
            Self::CutBothWays => Fault::Isolate(target),
            // Only these two do not reach each other; everybody else reaches both.
            Self::CutIntransitive => Fault::CutBoth(target, draw.other_than(victim).into()),
            Self::IsolateSite => Fault::Isolate(Target::site_of(victim)),
            Self::LosePackets => Fault::LoseAround(target, LOSS_PER_MILLION),
            Self::FullDisk => Fault::FillDisk(target),
            Self::SlowSync => Fault::SlowDisk(target, SLOW_SYNC_MS),
            Self::UpgradeAgent => Fault::Upgrade(target),
            Self::Switchover => return Vec::new(),
            Self::Etcd(kind) => kind.begin(victim),
        }]
    }

    /// Which servers it touches.
    #[must_use]
    pub fn strikes(self, victim: Place) -> Vec<Place> {
        if self == Self::IsolateSite { Target::site_of(victim).places().to_vec() } else { vec![victim] }
    }

    /// The fault that ends it; nothing where the supervision or the cluster does.
    #[must_use]
    pub fn end(self, victim: Place) -> Option<Fault> {
        let target = Target::from(victim);
        match self {
            Self::KillHost => Some(Fault::Return(target)),
            Self::FreezeAgent | Self::FreezeGuard | Self::FreezePostgres | Self::FreezeHost => {
                Some(Fault::Thaw(target))
            }
            Self::CutOneWay
            | Self::CutBothWays
            | Self::CutIntransitive
            | Self::IsolateSite
            | Self::LosePackets => Some(Fault::Heal),
            Self::FullDisk => Some(Fault::FreeDisk(target)),
            Self::SlowSync => Some(Fault::SlowDisk(target, 0)),
            Self::Etcd(kind) => kind.end(victim),
            Self::KillAgent
            | Self::KillGuard
            | Self::KillPostgres
            | Self::KillStoreLeader
            | Self::UpgradeAgent
            | Self::Switchover => None,
        }
    }
}

impl Draw {
    /// The other server of a fault between two.
    fn other_than(&self, victim: Place) -> Place {
        let next = Place::servers().find(|place| *place != victim);
        if self.other == victim { next.unwrap_or(self.other) } else { self.other }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).ok();
        f.pad(name.as_ref().and_then(serde_json::Value::as_str).unwrap_or("fault"))
    }
}
