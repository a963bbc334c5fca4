//! The five sites, their servers, and how far apart they are.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// A machine of the lab: a server, or the office where clients sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    index: usize,
}

struct Entry {
    name: &'static str,
    site: &'static str,
    address: Ipv4Addr,
}

const fn entry(name: &'static str, site: &'static str, subnet: u8, host: u8) -> Entry {
    Entry { name, site, address: Ipv4Addr::new(10, 0, subnet, host) }
}

/// Servers in order of preference, then the office.
const ENTRIES: [Entry; 7] = [
    entry("ravena-1", "ravena", 1, 1),
    entry("ravena-2", "ravena", 1, 2),
    entry("burlington-1", "burlington", 2, 1),
    entry("montpelier-1", "montpelier", 3, 1),
    entry("nantucket-1", "nantucket", 4, 1),
    entry("tucson-1", "tucson", 5, 1),
    entry("office", "ravena", 1, 100),
];

/// The word for every server at once.
pub const EVERYWHERE: &str = "all";

/// How many servers there are.
pub const SERVERS_COUNT: usize = ENTRIES.len() - 1;

impl Place {
    /// Where the clients sit: a machine at Ravena without a database.
    pub const OFFICE: Self = Self { index: SERVERS_COUNT };

    /// The servers, in the order of the topology document.
    pub fn servers() -> impl Iterator<Item = Self> + Clone {
        (0..SERVERS_COUNT).map(|index| Self { index })
    }

    /// The servers and the office.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..ENTRIES.len()).map(|index| Self { index })
    }

    /// The server of this name, or the office.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|place| place.name() == name)
    }

    /// Position among [`Place::all`], from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// Name of the server.
    #[must_use]
    pub fn name(self) -> &'static str {
        ENTRIES[self.index].name
    }

    /// Key of its site in the topology document.
    #[must_use]
    pub fn site(self) -> &'static str {
        ENTRIES[self.index].site
    }

    /// Its address in the mesh.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        ENTRIES[self.index].address
    }

    /// Its address in the wide-area network when the mesh is on, from a block that is nobody's (RFC 5737).
    #[must_use]
    pub fn public_address(self) -> Ipv4Addr {
        // There are few places: the number fits.
        Ipv4Addr::new(203, 0, 113, u8::try_from(self.index + 1).unwrap_or(u8::MAX))
    }

    /// Round-trip time to another place when nothing is wrong.
    #[must_use]
    pub fn round_trip(self, other: Self) -> Duration {
        Duration::from_millis(round_trip_ms(self.site(), other.site()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl serde::Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Place {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(format!("there is no place `{name}`")))
    }
}

/// One server, the office, every server of a site, or every server: the words that faults accept.
///
/// A site's name does not mean the office: clients there keep their own line, so that they see both sides of a
/// partition and would notice two primaries.
#[must_use]
pub fn members(name: &str) -> Vec<Place> {
    match Place::named(name) {
        Some(place) => vec![place],
        None if name == EVERYWHERE => Place::servers().collect(),
        None => Place::servers().filter(|place| place.site() == name).collect(),
    }
}

/// Tucson is far from everybody, an island comes next, the two towns in Vermont are neighbours.
fn round_trip_ms(a: &str, b: &str) -> u64 {
    let either = |site: &str| a == site || b == site;
    if a == b {
        1
    } else if either("tucson") {
        75
    } else if either("nantucket") {
        15
    } else if either("ravena") {
        8
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_real_sites() {
        let rtt =
            |a: &str, b: &str| Place::named(a).unwrap().round_trip(Place::named(b).unwrap()).as_millis();
        assert_eq!(rtt("ravena-1", "ravena-2"), 1);
        assert_eq!(rtt("office", "ravena-1"), 1);
        assert_eq!(rtt("ravena-1", "montpelier-1"), 8);
        assert_eq!(rtt("burlington-1", "montpelier-1"), 2);
        assert_eq!(rtt("nantucket-1", "burlington-1"), 15);
        assert_eq!(rtt("nantucket-1", "tucson-1"), 75);
    }

    #[test]
    fn a_site_names_its_servers_without_the_office() {
        let names = |name: &str| members(name).iter().map(|place| place.name()).collect::<Vec<_>>();
        assert_eq!(names("ravena"), ["ravena-1", "ravena-2"]);
        assert_eq!(names("tucson"), ["tucson-1"]);
        assert_eq!(names("burlington-1"), ["burlington-1"]);
        assert_eq!(names("office"), ["office"]);
        assert_eq!(names("all").len(), SERVERS_COUNT);
        assert!(names("nowhere").is_empty());
    }
}
