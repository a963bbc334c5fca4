//! The way home: after a failover the primary is not where people want it. Nothing moves it back by itself, since every move
//! is a second without writes; but once the preferred site has followed steadily for a while, its return is proposed.

use std::sync::Arc;
use std::time::Duration;

use sb_failover::{ClusterRecord, Observation, State};
use sb_topology::ServerName;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use super::observe::Seen;
use crate::journal::Entry;
use crate::troubles::{Change, Topic};

/// How long the preferred server must have followed without a break, in seconds.
const STEADY_SECONDS: u64 = 600;

/// Furthest that it may be behind, in bytes: what is under way on the longest line while clients write.
const LAG_BYTES_MAX: u64 = 256 << 10;

/// Between two looks, in seconds.
const LOOK_EVERY_SECONDS: u64 = 5;

/// Watches the preferred server for a primary that is elsewhere.
#[derive(Default)]
struct Home {
    steady: Option<(ServerName, Instant)>,
}

impl Home {
    /// Whom to propose now: the preferred server at another site, when it has followed closely for long enough.
    fn look(
        &mut self,
        me: &ServerName,
        record: &ClusterRecord,
        seen: &Observation,
        now: Instant,
    ) -> Option<ServerName> {
        let close = preferred(me, record).filter(|server| follows_closely(server, seen));
        let Some(server) = close.filter(|_| record.pause.is_none() && !record.sync.degraded) else {
            self.steady = None;
            return None;
        };
        let begun =
            self.steady.take().filter(|(steady, _)| *steady == server).map_or(now, |(_, since)| since);
        self.steady = Some((server.clone(), begun));
        (now.duration_since(begun) >= Duration::from_secs(STEADY_SECONDS)).then_some(server)
    }
}

/// The first of the cluster by the sites' priority; nobody when that is this server, or another at its site.
fn preferred(me: &ServerName, record: &ClusterRecord) -> Option<ServerName> {
    let own = record.members.get(me)?;
    let able = record.members.iter().filter(|(_, member)| member.promotable);
    let (first, member) = able.min_by_key(|(name, member)| (member.priority, (*name).clone()))?;
    (member.site != own.site && member.priority < own.priority).then(|| first.clone())
}

fn follows_closely(server: &ServerName, seen: &Observation) -> bool {
    let Some(own) = &seen.position else { return false };
    let follower = seen.followers.iter().find(|follower| follower.server == *server);
    follower.is_some_and(|f| f.streaming && own.flushed.bytes_ahead_of(f.flushed) <= LAG_BYTES_MAX)
}

/// Looks again and again, until `stop`.
pub async fn watch(
    driver: Driver,
    seen: watch::Receiver<Seen>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
) {
    let mut home = Home::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(LOOK_EVERY_SECONDS)) => {}
        }
        let leads = *state.borrow() == State::Leading;
        let observation = seen.borrow().observation.clone().filter(|_| leads);
        let record: Arc<ClusterRecord> = driver.config.record.borrow().view.clone();
        let ready = match &observation {
            Some(observation) => home.look(&driver.config.me.name, &record, observation, Instant::now()),
            None => {
                home = Home::default();
                None
            }
        };
        propose(&driver, ready);
    }
}

fn propose(driver: &Driver, ready: Option<ServerName>) {
    let sentence = ready.map(|server| {
        format!(
            "the primary is not at the preferred site, where `{server}` has followed steadily for {} min; to move it \
             back: sb-cli switchover --to {server}",
            STEADY_SECONDS / 60
        )
    });
    if let (Change::Began | Change::Differs, Some(sentence)) =
        (driver.config.troubles.set(Topic::Home, sentence.clone()), sentence)
    {
        driver.config.journal.record(Entry::new("home.ready", sentence));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sb_failover::record::Member;
    use sb_failover::{DataDirectory, Follower, Incarnation, Role};
    use sb_pgtypes::{Lineage, Lsn, Position, SystemIdentifier};
    use sb_topology::SiteName;

    use super::*;

    fn name(text: &str) -> ServerName {
        ServerName::new(text).unwrap()
    }

    fn record() -> ClusterRecord {
        let mut record = ClusterRecord::default();
        for (server, site, priority) in [("r1", "ravena", 0), ("r2", "ravena", 0), ("b1", "burlington", 1)] {
            let member = Member {
                incarnation: Incarnation::new(1),
                site: SiteName::new(site).unwrap(),
                priority,
                promotable: true,
                sync_eligible: false,
            };
            record.members.insert(name(server), member);
        }
        record
    }

    fn seen(followers: &[(&str, u64)]) -> Observation {
        let follower = |(server, flushed): &(&str, u64)| Follower {
            server: name(server),
            flushed: Lsn::new(*flushed),
            streaming: true,
        };
        Observation {
            role: Role::Primary,
            data: DataDirectory::Present(SystemIdentifier::new(7)),
            position: Some(Position { lineage: Lineage::first(), flushed: Lsn::new(10 << 20) }),
            streaming_from: None,
            broken: None,
            followers: followers.iter().map(follower).collect(),
        }
    }

    /// patroni #850: a return is proposed after the preferred site was steady for a while, and every break begins anew.
    #[test]
    fn a_return_is_proposed_when_the_preferred_site_was_steady_long_enough() {
        let (record, close, behind) = (record(), seen(&[("r1", 10 << 20)]), seen(&[("r1", 9 << 20)]));
        let (mut home, began) = (Home::default(), Instant::now());
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let mut look = |seen: &Observation, seconds| home.look(&name("b1"), &record, seen, at(seconds));
        assert_eq!(look(&close, 0), None);
        assert_eq!(look(&close, STEADY_SECONDS - 1), None);
        assert_eq!(look(&close, STEADY_SECONDS), Some(name("r1")));
        assert_eq!(look(&behind, STEADY_SECONDS + 1), None, "it lags");
        assert_eq!(look(&close, STEADY_SECONDS + 2), None, "it has only just caught up");
    }

    #[test]
    fn no_return_is_proposed_within_a_site() {
        let elsewhere: BTreeSet<_> = ["r1", "r2"].map(|me| preferred(&name(me), &record())).into();
        assert_eq!(elsewhere, BTreeSet::from([None]));
        assert_eq!(preferred(&name("b1"), &record()), Some(name("r1")));
    }
}
