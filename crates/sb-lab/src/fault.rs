//! What can be done to the virtual sites, as data: a fault crosses the control socket and is carried out by the
//! hosts and links that it names.
//!
//! | fault | where it acts, and so what it does to the mesh |
//! |---|---|
//! | `Cut`, `CutBoth`, `Isolate`, `Lose`, `LoseAround` | the router between the sites: on WireGuard's packets when the mesh is on, which are the only ones there |
//! | `CutPort` | the packet filter of each server's own namespace: also on what comes out of the tunnel |
//! | `Kill`, `Freeze`, `Thaw`, `Return`, `Upgrade` | the processes of a namespace, and for a host its port of the router. The tunnel in user space lives in the agent, and stops with it |
//! | `FillDisk`, `FreeDisk` | a file system in memory |
//! | `SlowDisk`, `SlowEtcd`, `HangStore` | the system calls of a server's programs |

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::place::{EVERYWHERE, Place, members};

/// A part of a server that can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Everything on it, as when the power goes: its network goes dark, then every process is killed.
    Host,
    /// The guard, PostgreSQL's parent.
    Guard,
    /// The agent.
    Agent,
    /// PostgreSQL's postmaster.
    Postgres,
    /// The member of etcd, where one runs.
    Etcd,
}

/// One server, or every server of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    word: String,
    places: Vec<Place>,
}

/// The word names neither a server nor a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no server or site `{word}` in the lab")]
pub struct UnknownTarget {
    word: String,
}

impl UnknownTarget {
    /// The names there are.
    #[must_use]
    pub fn hint(&self) -> String {
        let names: Vec<_> = Place::all().map(Place::name).collect();
        let mut sites: Vec<_> = Place::servers().map(Place::site).collect();
        sites.dedup();
        format!("Places: {}. Sites: {}. Every server: {EVERYWHERE}.", names.join(", "), sites.join(", "))
    }
}

impl Target {
    /// Every server.
    #[must_use]
    pub fn everywhere() -> Self {
        Self { word: EVERYWHERE.to_owned(), places: members(EVERYWHERE) }
    }

    /// Every server of the site of this one.
    #[must_use]
    pub fn site_of(place: Place) -> Self {
        Self { word: place.site().to_owned(), places: members(place.site()) }
    }

    /// The places that are meant.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

impl From<Place> for Target {
    fn from(place: Place) -> Self {
        Self { word: place.name().to_owned(), places: vec![place] }
    }
}

impl std::str::FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(word: &str) -> Result<Self, UnknownTarget> {
        let places = members(word);
        let word = word.to_owned();
        if places.is_empty() { Err(UnknownTarget { word }) } else { Ok(Self { word, places }) }
    }
}

impl TryFrom<String> for Target {
    type Error = UnknownTarget;

    fn try_from(word: String) -> Result<Self, UnknownTarget> {
        word.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.word
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.word)
    }
}

/// A share of packets, from 0 to 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct LossPercent(u8);

/// More than everything cannot be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} % is more than everything")]
pub struct MoreThanEverything(u8);

impl LossPercent {
    /// Nothing is lost.
    pub const NONE: Self = Self(0);

    /// The same share as parts of a million.
    #[must_use]
    pub fn per_million(self) -> u32 {
        u32::from(self.0) * 10_000
    }
}

impl TryFrom<u8> for LossPercent {
    type Error = MoreThanEverything;

    fn try_from(percent: u8) -> Result<Self, MoreThanEverything> {
        if percent > 100 { Err(MoreThanEverything(percent)) } else { Ok(Self(percent)) }
    }
}

impl From<LossPercent> for u8 {
    fn from(share: LossPercent) -> Self {
        share.0
    }
}

impl std::str::FromStr for LossPercent {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::try_from(text.parse::<u8>()?)?)
    }
}

/// Something that goes wrong, or is put right again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Packets of the first do not reach the second.
    Cut(Target, Target),
    /// Packets between the two do not arrive.
    CutBoth(Target, Target),
    /// Packets between these and all other servers do not arrive. The office reaches both sides.
    Isolate(Target),
    /// Packets of this TCP or UDP port do not arrive between any servers; all others do.
    CutPort(u16),
    /// So many of the packets between different sites are lost, until it is said again or healed.
    Lose(LossPercent),
    /// Of the packets from and to these, so many per million are lost.
    LoseAround(Target, u32),
    /// Every cut ends, and no packet is lost any more.
    Heal,
    /// A part is killed. A killed host stays dark until it returns; other parts are started again as on any server.
    Kill(Target, Part),
    /// A part is stopped: a host like a paused virtual machine, which nobody can reach meanwhile.
    Freeze(Target, Part),
    /// What is frozen goes on.
    Thaw(Target),
    /// Killed hosts are switched on.
    Return(Target),
    /// The disk under the server's state is full: data directory, store and journal.
    FillDisk(Target),
    /// It has room again.
    FreeDisk(Target),
    /// Every sync of a file takes so many milliseconds longer; 0 is as it should be.
    SlowDisk(Target, u32),
    /// The agent is ended in order and started again from another file, as a package does it. Guard and PostgreSQL
    /// go on.
    Upgrade(Target),
    /// Every sync of the member of etcd takes so many milliseconds longer; 0 is as it should be. Its disk is its own.
    SlowEtcd(Target, u32),
    /// For so many milliseconds no sync of the store's files ends: the store hangs, all else goes on.
    HangStore(Target, u32),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cut(from, to) => write!(f, "`{from}` does not reach `{to}` any more"),
            Self::CutBoth(a, b) => write!(f, "`{a}` and `{b}` do not reach each other any more"),
            Self::Isolate(place) => write!(f, "`{place}` is cut from all other servers"),
            Self::CutPort(port) => write!(f, "nothing of port {port} passes between servers"),
            Self::Lose(LossPercent::NONE) => write!(f, "no packets are lost between sites"),
            Self::Lose(share) => write!(f, "{} % of the packets between sites are lost", u8::from(*share)),
            Self::LoseAround(place, per_million) => {
                write!(f, "{} % of the packets from and to `{place}` are lost", per_million / 10_000)
            }
            Self::Heal => write!(f, "every link works again"),
            Self::Kill(place, Part::Host) => write!(f, "`{place}` has lost power"),
            Self::Kill(place, part) => write!(f, "the {} of `{place}` was killed", part.noun()),
            Self::Freeze(place, Part::Host) => write!(f, "`{place}` is frozen"),
            Self::Freeze(place, part) => write!(f, "the {} of `{place}` is frozen", part.noun()),
            Self::Thaw(place) => write!(f, "`{place}` goes on"),
            Self::Return(place) => write!(f, "`{place}` is switched on"),
            Self::FillDisk(place) => write!(f, "the disk of `{place}` is full"),
            Self::FreeDisk(place) => write!(f, "the disk of `{place}` has room again"),
            Self::SlowDisk(place, 0) => write!(f, "the disk of `{place}` syncs as it should"),
            Self::SlowDisk(place, delay_ms) => {
                write!(f, "every sync on `{place}` takes {delay_ms} ms longer")
            }
            Self::HangStore(place, time_ms) => write!(f, "the store of `{place}` hangs for {time_ms} ms"),
            Self::Upgrade(place) => write!(f, "the agent of `{place}` is replaced by another file"),
            Self::SlowEtcd(place, 0) => write!(f, "etcd on `{place}` syncs as it should"),
            Self::SlowEtcd(place, delay_ms) => {
                write!(f, "every sync of etcd on `{place}` takes {delay_ms} ms longer")
            }
        }
    }
}

impl Part {
    fn noun(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guard => "guard",
            Self::Agent => "agent",
            Self::Postgres => "PostgreSQL",
            Self::Etcd => "member of etcd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_back_as_it_was_written() {
        let target = |word: &str| word.parse::<Target>().unwrap();
        for fault in [
            Fault::Cut(target("ravena-1"), target("tucson")),
            Fault::Isolate(target("ravena")),
            Fault::Heal,
            Fault::CutPort(7_432),
            Fault::Lose("30".parse().unwrap()),
            Fault::Kill(target("ravena-1"), Part::Postgres),
        ] {
            let text = serde_json::to_string(&fault).unwrap();
            assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
        }
    }

    #[test]
    fn nobody_can_lose_more_than_everything() {
        assert_eq!("30".parse::<LossPercent>().unwrap().per_million(), 300_000);
        assert_eq!("101".parse::<LossPercent>().unwrap_err().to_string(), "101 % is more than everything");
        assert!(serde_json::from_str::<Fault>(r#"{"lose":101}"#).is_err());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_there_are() {
        let error = "ravina-1".parse::<Target>().unwrap_err();
        assert_eq!(error.to_string(), "there is no server or site `ravina-1` in the lab");
        assert!(error.hint().contains("ravena-1, ravena-2, burlington-1"), "{}", error.hint());
        assert!(error.hint().contains("Sites: ravena, burlington"), "{}", error.hint());
    }
}
