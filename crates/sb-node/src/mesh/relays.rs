//! What a plan of relays means for one server: whom it reaches through another, and whose packets it passes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sb_api::MeshSight;
use sb_topology::ServerName;
use sb_wireguard::relay::{Pair, RelayPlan};

use crate::journal::Entry;

/// A carrier that this server itself has not heard for so long carries nothing for it, in milliseconds. The plan would
/// have named another before; where it did, this server has not learned of it.
const LOST_MS: u64 = 60_000;

/// What `own` follows of `plan`: all but its relays over a carrier that it does not hear. A server whose agreement is old and
/// whose carriers are gone would otherwise hear nobody, nor ever learn of a newer one: whoever talks to it directly is
/// refused while a relay is in force.
pub(super) fn followed(plan: &RelayPlan, own: &ServerName, sights: &[MeshSight]) -> RelayPlan {
    let is_lost = |via: &ServerName| {
        sights.iter().any(|sight| sight.peer == via.as_str() && !sight.up && sight.for_ms >= LOST_MS)
    };
    let holds = |(pair, via): &(&Pair, &ServerName)| pair.other(own).is_none() || !is_lost(via);
    let relays = plan.relays().filter(holds).map(|(pair, via)| (pair.clone(), via.clone()));
    RelayPlan::known(plan.generation, relays)
}

/// From which address to which `own` passes packets on.
pub(super) fn carried(
    plan: &RelayPlan,
    own: &ServerName,
    addresses: &BTreeMap<ServerName, IpAddr>,
) -> BTreeSet<(IpAddr, IpAddr)> {
    let known = plan.carried_by(own).filter_map(|pair| {
        let (one, other) = pair.servers();
        Some((*addresses.get(one)?, *addresses.get(other)?))
    });
    known.flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}

/// What the journal of `own` tells when other relays of `plan` are followed than before.
pub(super) fn news(before: &RelayPlan, after: &RelayPlan, plan: &RelayPlan, own: &ServerName) -> Vec<Entry> {
    let mut news = Vec::new();
    for (peer, via) in own_relays(after, own) {
        if own_relays(before, own).get(peer) != Some(&via) {
            let entry = Entry::new("mesh.relay.began", format!("`{peer}` is reached through `{via}`"));
            news.push(entry.detail("The direct path is down. It is tried all the time."));
        }
    }
    for (peer, via) in own_relays(before, own) {
        if !own_relays(after, own).contains_key(peer) {
            let lost = own_relays(plan, own).contains_key(peer);
            let (message, detail) = match lost {
                true => (
                    format!("`{peer}` is looked for directly: `{via}` is not heard"),
                    "Another server carries the packets as soon as the plan says so.".to_owned(),
                ),
                false => (
                    format!("`{peer}` is reached directly again"),
                    format!("`{via}` carried the packets until now."),
                ),
            };
            news.push(Entry::new("mesh.relay.ended", message).detail(detail));
        }
    }
    let (carried, carries) = (pairs(before, own), pairs(after, own));
    if carries != carried {
        let message = match carries.as_str() {
            "" => "this server passes on nobody's packets any more".to_owned(),
            carries => format!("this server passes on the packets between {carries}"),
        };
        news.push(Entry::new("mesh.carries", message));
    }
    news
}

fn own_relays<'a>(plan: &'a RelayPlan, own: &ServerName) -> BTreeMap<&'a ServerName, &'a ServerName> {
    plan.relays().filter_map(|(pair, via)| Some((pair.other(own)?, via))).collect()
}

fn pairs(plan: &RelayPlan, own: &ServerName) -> String {
    let pair = |pair: &Pair| {
        let (one, other) = pair.servers();
        format!("`{one}` and `{other}`")
    };
    plan.carried_by(own).map(pair).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ServerName {
        name.parse().unwrap()
    }

    fn plan(relays: &[(&str, &str, &str)]) -> RelayPlan {
        let relays = relays.iter().map(|(one, other, via)| (Pair::new(&name(one), &name(other)), name(via)));
        RelayPlan::known(1, relays)
    }

    #[test]
    fn a_carrier_is_not_followed_once_it_is_lost_and_others_keep_their_relays() {
        let plan = plan(&[("a", "b", "c"), ("b", "d", "c"), ("a", "d", "e")]);
        let silent = |for_ms| vec![MeshSight { peer: "c".into(), up: false, for_ms }];
        let followed = |for_ms| followed(&plan, &name("a"), &silent(for_ms)).relays().count();
        assert_eq!(followed(LOST_MS - 1), 3);
        assert_eq!(followed(LOST_MS), 2, "`b` goes directly; between `b` and `d` is not for `a` to say");
    }

    #[test]
    fn a_carrier_passes_on_between_the_addresses_of_its_pairs_only() {
        let plan = plan(&[("a", "b", "c"), ("a", "d", "e")]);
        let address = |last| IpAddr::from([10, 0, 1, last]);
        let addresses = ["a", "b", "c", "d", "e"].into_iter().zip(1..);
        let addresses = addresses.map(|(server, last)| (name(server), address(last))).collect();
        let both = BTreeSet::from([(address(1), address(2)), (address(2), address(1))]);
        assert_eq!(carried(&plan, &name("c"), &addresses), both);
        assert_eq!(carried(&plan, &name("a"), &addresses), BTreeSet::new());
    }

    #[test]
    fn ends_and_carrier_tell_what_changes_for_them() {
        let told = |before: &RelayPlan, after: &RelayPlan, own| {
            news(before, after, after, &name(own))
                .into_iter()
                .map(|it| (it.kind, it.message))
                .collect::<Vec<_>>()
        };
        let (none, through_c, through_d) =
            (RelayPlan::default(), plan(&[("a", "b", "c")]), plan(&[("a", "b", "d")]));
        assert_eq!(
            told(&none, &through_c, "a"),
            [("mesh.relay.began", "`b` is reached through `c`".to_owned())]
        );
        assert_eq!(
            told(&through_c, &through_d, "b"),
            [("mesh.relay.began", "`a` is reached through `d`".to_owned())]
        );
        assert_eq!(
            told(&through_d, &none, "a"),
            [("mesh.relay.ended", "`b` is reached directly again".to_owned())]
        );
        assert_eq!(
            told(&none, &through_c, "c"),
            [("mesh.carries", "this server passes on the packets between `a` and `b`".to_owned())]
        );
        assert_eq!(
            told(&through_c, &through_d, "c"),
            [("mesh.carries", "this server passes on nobody's packets any more".to_owned())]
        );
        assert_eq!(told(&through_c, &through_d, "e"), []);
        let lost = news(&through_c, &none, &through_c, &name("a"));
        assert_eq!(lost[0].message, "`b` is looked for directly: `c` is not heard");
    }
}
