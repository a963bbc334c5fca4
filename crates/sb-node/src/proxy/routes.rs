//! What the servers said of themselves, as routes for the proxy. Decides nothing by a clock but how old a word is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sb_api::{Serving, ServingWord};
use sb_proxy::{Leading, Routes, Standby, Target, Term};
use sb_topology::{ServerName, Topology};

/// How long the word of a standby counts, in milliseconds: each is asked at least every
/// [`SERVING_WAIT_MS_MAX`](sb_api::SERVING_WAIT_MS_MAX).
pub(super) const STANDBY_WORD_MS_MAX: u64 = 15_000;

/// The last word of a server.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What it said.
    pub word: ServingWord,
    /// When it was heard.
    pub at: Instant,
    /// A round trip to it.
    pub distance: Duration,
}

/// What this server's replica of the record says.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Its newest term; 0 before the first.
    pub term: u64,
    /// Whose word does not count any more: they are not of this cluster's store.
    pub given_up: BTreeSet<ServerName>,
}

/// Where connections may go. The way to a primary is opened by its own word, and by nothing else: it alone knows whether
/// its lease holds and PostgreSQL lets clients in. A term that anybody knows of closes the way to every older one.
#[must_use]
pub fn routes(
    topology: &Topology,
    known: &Known,
    words: &BTreeMap<ServerName, Heard>,
    now: Instant,
) -> Routes {
    let counted = || words.iter().filter(|(name, _)| !known.given_up.contains(*name));
    let claimed = |word: &ServingWord| match word.serving {
        Serving::Writes { term } | Serving::Closing { term } => term,
        Serving::Reads { .. } | Serving::Nothing | Serving::Unknown => 0,
    };
    let terms = counted().map(|(_, heard)| claimed(&heard.word).max(heard.word.term.unwrap_or(0)));
    let term = terms.fold(known.term, u64::max);
    let leading: Vec<Leading> = counted()
        .filter(|(_, heard)| term > 0 && claimed(&heard.word) == term)
        .filter_map(|(name, heard)| leading(heard.word.serving, target(topology, name)?))
        .collect();
    let fresh = Duration::from_millis(STANDBY_WORD_MS_MAX);
    let standbys = counted().filter(|(_, heard)| now.saturating_duration_since(heard.at) < fresh);
    let standby = |(name, heard): (&ServerName, &Heard)| match heard.word.serving {
        Serving::Reads { lag_bytes } => {
            Some(Standby { target: target(topology, name)?, lag_bytes, distance: rounded(heard.distance) })
        }
        Serving::Writes { .. } | Serving::Closing { .. } | Serving::Nothing | Serving::Unknown => None,
    };
    Routes {
        term: Term::new(term),
        // Two that claim one term cannot both be right, and which is not for a proxy to say.
        primary: <[Leading; 1]>::try_from(leading).map_or(Leading::Nobody, |[one]| one),
        standbys: standbys.filter_map(standby).collect(),
    }
}

fn leading(serving: Serving, target: Target) -> Option<Leading> {
    match serving {
        Serving::Writes { .. } => Some(Leading::Open(target)),
        Serving::Closing { .. } => Some(Leading::Closing(target)),
        Serving::Reads { .. } | Serving::Nothing | Serving::Unknown => None,
    }
}

fn target(topology: &Topology, name: &ServerName) -> Option<Target> {
    let server = topology.server(name)?;
    Some(Target::new(name.as_str(), SocketAddr::new(server.mesh_address, server.postgres.port()?)))
}

/// Measured anew with each word: servers that are about as far must not change places every time.
fn rounded(distance: Duration) -> Duration {
    const STEP_MS: u128 = 5;
    let steps = (distance.as_millis() + STEP_MS / 2) / STEP_MS;
    Duration::from_millis(u64::try_from(steps * STEP_MS).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use sb_topology::{Documents, load};

    use super::*;

    fn topology() -> Topology {
        let sites = br#"{
            "a": {"ip": "192.0.2.1", "wireguardIp": "10.0.1.1", "enabled": true, "role": "primary", "replicationMode": "async"},
            "b": {"ip": "192.0.2.2", "wireguardIp": "10.0.2.1", "enabled": true, "role": "replica", "replicationMode": "async"},
            "c": {"ip": "192.0.2.3", "wireguardIp": "10.0.3.1", "enabled": true, "role": "replica", "replicationMode": "async"}
        }"#;
        let database = br#"{"host": "127.0.0.1", "port": 5432, "database": "show", "username": "show", "password": "secret", "ssl": true}"#;
        load(Documents { database: Some(database), sites: Some(sites), network: None, policy: None })
            .unwrap()
            .topology
    }

    fn name(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    fn of(known_term: u64, words: &[(&str, Option<u64>, Serving)], age: Duration) -> Routes {
        let at = Instant::now();
        let heard =
            |term, serving| Heard { word: ServingWord { term, serving }, at, distance: Duration::ZERO };
        let words =
            words.iter().map(|&(server, term, serving)| (name(server), heard(term, serving))).collect();
        let known = Known { term: known_term, ..Known::default() };
        routes(&topology(), &known, &words, at + age)
    }

    fn open(server: &str) -> Leading {
        Leading::Open(target(&topology(), &name(server)).unwrap())
    }

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn the_way_to_a_primary_is_opened_by_its_own_word_alone() {
        assert_eq!(of(7, &[("a-1", Some(7), Serving::Nothing)], NOW).primary, Leading::Nobody);
        let routes = of(7, &[("a-1", Some(7), Serving::Writes { term: 7 })], NOW);
        assert_eq!((routes.term, routes.primary), (Term::new(7), open("a-1")));
    }

    #[test]
    fn a_newer_term_that_anybody_knows_closes_the_way_to_the_old_primary() {
        let claim = ("a-1", Some(7), Serving::Writes { term: 7 });
        for routes in [
            of(8, &[claim], NOW),
            of(7, &[claim, ("b-1", Some(8), Serving::Nothing)], NOW),
            of(0, &[claim, ("b-1", Some(8), Serving::Reads { lag_bytes: 0 })], NOW),
        ] {
            assert_eq!((routes.term, routes.primary), (Term::new(8), Leading::Nobody));
        }
        let both = of(7, &[claim, ("b-1", Some(8), Serving::Writes { term: 8 })], NOW);
        assert_eq!((both.term, both.primary), (Term::new(8), open("b-1")));
    }

    #[test]
    fn a_proxy_that_is_cut_off_from_the_store_follows_the_primarys_word() {
        let routes = of(3, &[("b-1", Some(8), Serving::Writes { term: 8 })], NOW);
        assert_eq!(routes.primary, open("b-1"));
    }

    #[test]
    fn a_claim_outlives_the_silence_of_its_agent_and_the_word_of_a_standby_does_not() {
        let long = Duration::from_millis(STANDBY_WORD_MS_MAX);
        let words = [
            ("a-1", Some(7), Serving::Writes { term: 7 }),
            ("b-1", Some(7), Serving::Reads { lag_bytes: 0 }),
        ];
        let routes = of(7, &words, long);
        assert_eq!((routes.primary, routes.standbys), (open("a-1"), Vec::new()));
        assert_eq!(of(7, &words, NOW).standbys.len(), 1);
    }

    #[test]
    fn two_claims_of_one_term_open_no_way() {
        let claim = |server| (server, Some(7), Serving::Writes { term: 7 });
        assert_eq!(of(7, &[claim("a-1"), claim("b-1")], NOW).primary, Leading::Nobody);
    }

    #[test]
    fn a_server_that_was_given_up_has_no_say() {
        let at = Instant::now();
        let word = ServingWord { term: Some(9), serving: Serving::Writes { term: 9 } };
        let words = [(name("a-1"), Heard { word, at, distance: Duration::ZERO })].into();
        let known = Known { term: 7, given_up: [name("a-1")].into() };
        let routes = routes(&topology(), &known, &words, at);
        assert_eq!((routes.term, routes.primary), (Term::new(7), Leading::Nobody));
    }
}
