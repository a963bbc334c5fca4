//! Whether two servers reach each other directly, by what this one of them sees.
//!
//! Probes tell it at once, as long as they take the direct way. While a third server carries the pair's packets they do
//! not: then the interface tells it, whose direct peer goes on shaking hands and keeping the NAT open.

use std::time::{Duration, Instant};

use sb_wireguard::relay::SightState;

/// A session is down when no answer has come for so long, in milliseconds: one lost probe, or two, move nothing.
pub(super) const SILENT_MS_MIN: u64 = 5_000;
/// It is up again after so many answers without a lost one between.
pub(super) const ANSWERS_MIN: usize = 3;
/// So long after a change of the way nothing is said to be down, in milliseconds: the two ends do not change it at one
/// moment.
pub(super) const SETTLE_MS: u64 = 10_000;

/// Which way the packets for a server take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum Way {
    /// Its own session with it.
    Direct,
    /// The session with another server, which carries them.
    Carried,
}

/// What the interface says of a direct session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) struct Session {
    /// Which way packets take.
    pub(in crate::mesh) way: Way,
    /// Since when they take it.
    pub(in crate::mesh) since: Instant,
    /// Whether the last handshake is young enough for a session to live.
    pub(in crate::mesh) handshake: Handshake,
    /// When something more had come from the peer; [`None`] when nothing has since this agent looks.
    pub(in crate::mesh) received: Option<Instant>,
    /// The time between two keepalives of the peer; [`None`] where it sends none.
    pub(in crate::mesh) keepalive: Option<Duration>,
}

/// Whether a session may be alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::mesh) enum Handshake {
    /// There was one lately.
    Fresh,
    /// There was none, or none for longer than a session lives.
    Old,
}

/// What the probes say that were sent since packets take the direct way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Answers {
    /// When the last answer came.
    pub(super) last: Option<Instant>,
    /// How many of the newest probes were answered without a lost one between.
    pub(super) in_row: usize,
}

/// How the direct session is found `now`, after it was found `before`; [`None`] while that cannot be told.
pub(super) fn direct_sight(
    before: Option<SightState>,
    session: &Session,
    answers: Answers,
    now: Instant,
) -> Option<SightState> {
    match session.way {
        Way::Direct => by_probes(before, session, answers, now),
        Way::Carried => by_interface(before, session),
    }
}

fn by_probes(
    before: Option<SightState>,
    session: &Session,
    answers: Answers,
    now: Instant,
) -> Option<SightState> {
    let settled = session.since + Duration::from_millis(SETTLE_MS);
    let heard = answers.last.map_or(settled, |last| last.max(settled));
    let silent = now.saturating_duration_since(heard) >= Duration::from_millis(SILENT_MS_MIN);
    match silent {
        true => Some(SightState::Down),
        false if answers.in_row >= ANSWERS_MIN => Some(SightState::Up),
        false => before,
    }
}

/// A handshake tells that packets came both ways. It has to be of a time at which packets already took the other way:
/// something has come from the peer since then. That nothing has come for a while says nothing: a keepalive is due so
/// long after the last packet of either side, so the side that is a moment earlier sends them all and hears none.
fn by_interface(before: Option<SightState>, session: &Session) -> Option<SightState> {
    session.keepalive?;
    match session.handshake {
        Handshake::Old => Some(SightState::Down),
        Handshake::Fresh if session.received.is_some_and(|at| at > session.since) => Some(SightState::Up),
        Handshake::Fresh => before,
    }
}

#[cfg(test)]
mod tests {
    use SightState::{Down, Up};
    use proptest::prelude::*;

    use super::*;

    fn session(way: Way, since: Instant) -> Session {
        let keepalive = Some(Duration::from_secs(25));
        Session { way, since, handshake: Handshake::Fresh, received: None, keepalive }
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn answers(last: Instant, in_row: usize) -> Answers {
        Answers { last: Some(last), in_row }
    }

    #[test]
    fn a_session_is_unknown_until_probes_have_told() {
        let begun = Instant::now();
        let direct = session(Way::Direct, begun);
        assert_eq!(direct_sight(None, &direct, Answers::default(), begun + seconds(14)), None);
        assert_eq!(direct_sight(None, &direct, Answers::default(), begun + seconds(15)), Some(Down));
        let three = answers(begun + seconds(3), ANSWERS_MIN);
        assert_eq!(direct_sight(None, &direct, three, begun + seconds(3)), Some(Up));
    }

    #[test]
    fn one_lost_probe_moves_nothing() {
        let begun = Instant::now();
        let direct = session(Way::Direct, begun);
        let lost_one = answers(begun + seconds(60), 0);
        assert_eq!(direct_sight(Some(Up), &direct, lost_one, begun + seconds(64)), Some(Up));
        assert_eq!(direct_sight(Some(Up), &direct, lost_one, begun + seconds(65)), Some(Down));
        let one_came = answers(begun + seconds(66), 1);
        assert_eq!(direct_sight(Some(Down), &direct, one_came, begun + seconds(66)), Some(Down));
    }

    #[test]
    fn a_way_that_has_just_changed_is_given_time() {
        let changed = Instant::now();
        let direct = session(Way::Direct, changed);
        assert_eq!(direct_sight(Some(Up), &direct, Answers::default(), changed + seconds(14)), Some(Up));
        assert_eq!(direct_sight(Some(Up), &direct, Answers::default(), changed + seconds(15)), Some(Down));
    }

    #[test]
    fn answers_that_came_through_a_carrier_say_nothing_about_the_direct_session() {
        let begun = Instant::now();
        let now = begun + seconds(300);
        let carried = session(Way::Carried, begun);
        assert_eq!(direct_sight(Some(Down), &carried, answers(now, 60), now), Some(Down));
    }

    #[test]
    fn a_carried_pairs_session_is_up_once_something_has_come_and_while_handshakes_succeed() {
        let begun = Instant::now();
        let heard = Session { received: Some(begun + seconds(100)), ..session(Way::Carried, begun) };
        let at = |session: &Session, second| {
            direct_sight(Some(Down), session, Answers::default(), begun + seconds(second))
        };
        assert_eq!(at(&heard, 101), Some(Up));
        assert_eq!(at(&heard, 190), Some(Up), "the other end may be the one that hears the keepalives");
        let before_it = Session { received: Some(begun), ..heard };
        assert_eq!(
            at(&before_it, 101),
            Some(Down),
            "nothing has come since a third server carries the packets"
        );
        let old = Session { handshake: Handshake::Old, ..heard };
        assert_eq!(at(&old, 101), Some(Down), "no handshake succeeds");
        let quiet = Session { keepalive: None, ..heard };
        assert_eq!(at(&quiet, 101), None, "nothing is due that could be missing");
        let fresh_agent = Session { received: None, ..heard };
        assert_eq!(direct_sight(None, &fresh_agent, Answers::default(), begun + seconds(20)), None);
    }

    proptest! {
        /// Up with nothing but silence never lasts, and down with nothing but answers neither.
        #[test]
        fn what_is_found_follows_the_probes(came in proptest::collection::vec(any::<bool>(), 0..60), good: bool) {
            let begun = Instant::now();
            let direct = session(Way::Direct, begun);
            let (mut found, mut told) = (None, Answers::default());
            let end = came.len() as u64 + 20;
            let all = came.iter().copied().chain(std::iter::repeat_n(good, 20));
            for (second, came) in (0..).zip(all) {
                let now = begun + seconds(second);
                told = if came { answers(now, told.in_row + 1) } else { Answers { in_row: 0, ..told } };
                found = direct_sight(found, &direct, told, now);
            }
            prop_assert_eq!(found, Some(if good { Up } else { Down }), "after {} s", end);
        }
    }
}
