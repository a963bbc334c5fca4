//! What goes wrong with the etcd that keeps the record.

use std::time::Duration;

use super::kind::Scope;
use crate::cluster::etcd;
use crate::fault::{Fault, Part, Target};
use crate::place::Place;

/// How much longer every sync of a member takes on a bad disk.
const SLOW_SYNC_MS: u32 = 400;

/// A stall of all that no lease may end from.
const HICCUP: Duration = Duration::from_millis(1_200);

/// One kind of fault of etcd alone: no server is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdKind {
    /// The member at the victim's site is killed, and started again on its data.
    EtcdKillMember,
    /// It is stopped.
    EtcdFreezeMember,
    /// Every sync of it takes longer.
    EtcdSlowMember,
    /// Every sync of every member does.
    EtcdSlow,
    /// All are stopped, for less than a lease.
    EtcdHiccup,
    /// All are stopped, for longer than a lease.
    EtcdStall,
    /// All are killed at once, and started again.
    EtcdKillAll,
    /// Clients reach every member, and no member another.
    EtcdCutPeers,
}

impl EtcdKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::EtcdKillMember,
        Self::EtcdFreezeMember,
        Self::EtcdSlowMember,
        Self::EtcdSlow,
        Self::EtcdHiccup,
        Self::EtcdStall,
        Self::EtcdKillAll,
        Self::EtcdCutPeers,
    ];

    /// What it touches. What etcd survives by itself costs writes no more than the loss of a host.
    pub(super) const fn scope(self) -> Scope {
        match self {
            Self::EtcdKillMember | Self::EtcdFreezeMember | Self::EtcdSlowMember | Self::EtcdHiccup => {
                Scope::OneHost
            }
            Self::EtcdSlow | Self::EtcdStall | Self::EtcdKillAll | Self::EtcdCutPeers => Scope::Wider,
        }
    }

    /// How long it lasts, where that was drawn.
    pub(super) fn lasts(self, drawn: Duration) -> Duration {
        if self == Self::EtcdHiccup { HICCUP } else { drawn }
    }

    /// The fault that begins it.
    pub(super) fn begin(self, victim: Place) -> Fault {
        let (member, all) = (Target::from(member_near(victim)), Target::everywhere());
        match self {
            Self::EtcdKillMember => Fault::Kill(member, Part::Etcd),
            Self::EtcdFreezeMember => Fault::Freeze(member, Part::Etcd),
            Self::EtcdSlowMember => Fault::SlowEtcd(member, SLOW_SYNC_MS),
            Self::EtcdSlow => Fault::SlowEtcd(all, SLOW_SYNC_MS),
            Self::EtcdHiccup | Self::EtcdStall => Fault::Freeze(all, Part::Etcd),
            Self::EtcdKillAll => Fault::Kill(all, Part::Etcd),
            Self::EtcdCutPeers => Fault::CutPort(etcd::PEER_PORT),
        }
    }

    /// The fault that ends it; nothing where the supervision does.
    pub(super) fn end(self, victim: Place) -> Option<Fault> {
        match self {
            Self::EtcdFreezeMember => Some(Fault::Thaw(member_near(victim).into())),
            Self::EtcdSlowMember => Some(Fault::SlowEtcd(member_near(victim).into(), 0)),
            Self::EtcdSlow => Some(Fault::SlowEtcd(Target::everywhere(), 0)),
            Self::EtcdHiccup | Self::EtcdStall => Some(Fault::Thaw(Target::everywhere())),
            Self::EtcdCutPeers => Some(Fault::Heal),
            Self::EtcdKillMember | Self::EtcdKillAll => None,
        }
    }
}

/// The member at a server's site.
fn member_near(victim: Place) -> Place {
    etcd::members().find(|member| member.site() == victim.site()).unwrap_or(victim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_member_stands_for_the_one_at_its_site() {
        let place = |name: &str| Place::named(name).unwrap();
        let begun = EtcdKind::EtcdFreezeMember.begin(place("ravena-2"));
        assert_eq!(begun, Fault::Freeze(place("ravena-1").into(), Part::Etcd));
        assert_eq!(
            EtcdKind::EtcdFreezeMember.end(place("ravena-2")),
            Some(Fault::Thaw(place("ravena-1").into()))
        );
    }
}
