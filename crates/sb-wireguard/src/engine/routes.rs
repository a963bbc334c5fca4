use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::AllowedIp;

/// Which peer owns which range of addresses: the only place where that is kept, so that what is sent to a peer and
/// what is taken from it cannot differ.
#[derive(Debug)]
pub(super) struct Routes<P> {
    v4: Family<P>,
    v6: Family<P>,
}

/// Owners by prefix length, then by the prefix's bits.
type Family<P> = BTreeMap<u8, HashMap<u128, P>>;

impl<P> Default for Routes<P> {
    fn default() -> Self {
        Self { v4: BTreeMap::new(), v6: BTreeMap::new() }
    }
}

impl<P: Copy + PartialEq> Routes<P> {
    /// Gives a range to a peer; whoever had it has it no more.
    pub(super) fn give(&mut self, range: AllowedIp, peer: P) {
        self.family_mut(range.address())
            .entry(range.prefix())
            .or_default()
            .insert(bits(range.address()), peer);
    }

    /// Takes a range from a peer; no effect when it is another's.
    pub(super) fn take(&mut self, range: AllowedIp, peer: P) {
        let family = self.family_mut(range.address());
        let Some(owners) = family.get_mut(&range.prefix()) else { return };
        if owners.get(&bits(range.address())) == Some(&peer) {
            owners.remove(&bits(range.address()));
        }
        if owners.is_empty() {
            family.remove(&range.prefix());
        }
    }

    /// Takes everything from a peer.
    pub(super) fn take_all(&mut self, peer: P) {
        for family in [&mut self.v4, &mut self.v6] {
            family.retain(|_, owners| {
                owners.retain(|_, owner| *owner != peer);
                !owners.is_empty()
            });
        }
    }

    /// The owner of the longest range that contains an address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<P> {
        let (family, width) = if address.is_ipv4() { (&self.v4, 32) } else { (&self.v6, 128) };
        let address = bits(address);
        let masked = |prefix: u8| {
            let host = width - u32::from(prefix);
            address.checked_shr(host).and_then(|bits| bits.checked_shl(host)).unwrap_or(0)
        };
        family.iter().rev().find_map(|(prefix, owners)| owners.get(&masked(*prefix)).copied())
    }

    /// What a peer owns, sorted.
    pub(super) fn of(&self, peer: P) -> Vec<AllowedIp> {
        let v4 = ranges(&self.v4, peer, |bits| {
            IpAddr::V4(u32::try_from(bits).expect("made from an IPv4 address").into())
        });
        let v6 = ranges(&self.v6, peer, |bits| IpAddr::V6(bits.into()));
        let mut ranges: Vec<_> = v4.chain(v6).collect();
        ranges.sort_unstable();
        ranges
    }

    fn family_mut(&mut self, address: IpAddr) -> &mut Family<P> {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

fn ranges<P: Copy + PartialEq>(
    family: &Family<P>,
    peer: P,
    address: impl Fn(u128) -> IpAddr + Copy,
) -> impl Iterator<Item = AllowedIp> {
    let owned = family.iter().flat_map(|(prefix, owners)| owners.iter().map(move |owned| (*prefix, owned)));
    owned.filter(move |(_, (_, owner))| **owner == peer).map(move |(prefix, (bits, _))| {
        AllowedIp::containing(address(*bits), prefix).expect("the prefix fitted when the range was given")
    })
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AllowedIp {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_range_wins() {
        let mut routes = Routes::default();
        for (text, peer) in
            [("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.0.0.7/32", 3), ("fd00::/64", 4), ("::/0", 5)]
        {
            routes.give(range(text), peer);
        }
        let owner = |text| routes.owner(address(text));
        assert_eq!([owner("192.0.2.1"), owner("10.1.0.1"), owner("10.0.0.7")], [Some(1), Some(2), Some(3)]);
        assert_eq!([owner("fd00::9"), owner("fd01::9")], [Some(4), Some(5)]);
    }

    #[test]
    fn a_range_has_one_owner_and_only_the_owner_can_lose_it() {
        let mut routes = Routes::default();
        routes.give(range("10.0.0.1/32"), 1);
        routes.give(range("10.0.0.1/32"), 2);
        routes.take(range("10.0.0.1/32"), 1);
        assert_eq!(routes.owner(address("10.0.0.1")), Some(2));
        assert_eq!((routes.of(1), routes.of(2)), (vec![], vec![range("10.0.0.1/32")]));
        routes.take_all(2);
        assert_eq!(routes.owner(address("10.0.0.1")), None);
    }
}
