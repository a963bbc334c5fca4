use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sb_pgtypes::Lsn;
use sb_topology::ServerName;
use serde::{Deserialize, Serialize};

use crate::timings::ms;
use crate::trace::moment;
use crate::{BootTime, Follower};

/// A standby that has not flushed for this long does not answer at present: a few round trips to the farthest site,
/// with a lost packet sent again.
const ANSWER_MS_MAX: u64 = 1_000;

/// Since when a standby has not flushed what was there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Silence {
    #[serde(with = "moment")]
    since: BootTime,
    /// Ends when this is flushed; [`None`] while it does not stream.
    until: Option<Lsn>,
}

/// How a primary's standbys answer. To answer is to flush, not to be connected.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answers {
    /// When PostgreSQL was looked at last. Silence is counted up to here: what was not looked at is not known.
    #[serde(with = "moment")]
    looked: Option<BootTime>,
    #[serde(with = "moment")]
    first: Option<BootTime>,
    silent: BTreeMap<ServerName, Silence>,
    /// The end of the log when a standby was first seen streaming.
    joining: BTreeMap<ServerName, Lsn>,
    flushed: BTreeMap<ServerName, Lsn>,
}

impl Answers {
    /// What a primary shows: the end of its log, and its standbys.
    pub(super) fn look(
        &mut self,
        now: BootTime,
        end: Lsn,
        followers: &[Follower],
        members: impl Iterator<Item = ServerName>,
    ) {
        self.looked = Some(now);
        self.first.get_or_insert(now);
        self.flushed = followers.iter().map(|f| (f.server.clone(), f.flushed)).collect();
        for server in members {
            let follower = followers.iter().find(|f| f.server == server && f.streaming);
            match follower {
                Some(follower) => self.streams(now, end, &server, follower.flushed),
                None => {
                    self.joining.remove(&server);
                    let silence = self.silent.entry(server).or_insert(Silence { since: now, until: None });
                    silence.until = None;
                }
            }
        }
    }

    fn streams(&mut self, now: BootTime, end: Lsn, server: &ServerName, flushed: Lsn) {
        self.joining.entry(server.clone()).or_insert(end);
        if let Some(silence) = self.silent.get_mut(server) {
            let until = *silence.until.get_or_insert(end);
            if flushed < until {
                return;
            }
        }
        if flushed < end {
            self.silent.insert(server.clone(), Silence { since: now, until: Some(end) });
        } else {
            self.silent.remove(server);
        }
    }

    fn silence(&self, server: &ServerName) -> Duration {
        let since = self.silent.get(server).map(|s| s.since);
        match (since, self.looked) {
            (Some(since), Some(looked)) => looked.since(since),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }

    /// Whether `server` has been silent for `limit_ms`.
    pub(super) fn silent_for(&self, server: &ServerName, limit_ms: u64) -> bool {
        self.silence(server) >= ms(limit_ms)
    }

    /// Whether PostgreSQL has been looked at for `limit_ms`.
    pub(super) fn watched_for(&self, limit_ms: u64) -> bool {
        self.first.zip(self.looked).is_some_and(|(first, last)| last.since(first) >= ms(limit_ms))
    }

    /// Whether commits may count on `server` at present.
    pub(super) fn answers(&self, server: &ServerName) -> bool {
        let streams = self.silent.get(server).is_none_or(|s| s.until.is_some());
        self.looked.is_some() && streams && !self.silent_for(server, ANSWER_MS_MAX)
    }

    /// Whether `server` may join: it answers, and has flushed the end of the log as it was when it began to.
    pub(super) fn may_join(&self, server: &ServerName) -> bool {
        let passed = self.joining.get(server).is_some_and(|end| self.has_flushed(server, *end));
        passed && self.answers(server)
    }

    /// Whether `server` has flushed up to `end`.
    pub(super) fn has_flushed(&self, server: &ServerName, end: Lsn) -> bool {
        self.flushed.get(server).is_some_and(|flushed| *flushed >= end)
    }

    /// Those of `names` that have flushed up to `end`.
    pub(super) fn past(&self, names: &BTreeSet<ServerName>, end: Lsn) -> BTreeSet<ServerName> {
        names.iter().filter(|s| self.has_flushed(s, end)).cloned().collect()
    }

    /// PostgreSQL is gone, or another one: nothing is known of its standbys.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> BootTime {
        BootTime::since_boot(ms(milliseconds))
    }

    fn b() -> ServerName {
        ServerName::new("b").unwrap()
    }

    fn look(answers: &mut Answers, now: u64, end: u64, flushed: Option<u64>) {
        let follower = |f| Follower { server: b(), flushed: Lsn::new(f), streaming: true };
        let followers: Vec<_> = flushed.map(follower).into_iter().collect();
        answers.look(at(now), Lsn::new(end), &followers, [b()].into_iter());
    }

    #[test]
    fn a_standby_that_is_connected_and_does_not_flush_falls_silent() {
        let mut answers = Answers::default();
        look(&mut answers, 0, 100, Some(100));
        assert!(answers.may_join(&b()));
        look(&mut answers, 500, 200, Some(100));
        look(&mut answers, 5_500, 300, Some(150));
        assert!(!answers.answers(&b()));
        assert!(answers.silent_for(&b(), 5_000));
        look(&mut answers, 6_000, 300, Some(200));
        assert!(answers.answers(&b()));
    }

    #[test]
    fn a_standby_that_is_always_a_little_behind_answers() {
        let mut answers = Answers::default();
        for i in 0..100 {
            look(&mut answers, i * 500, i * 100 + 150, Some(i * 100 + 50));
        }
        assert!(answers.answers(&b()));
    }

    #[test]
    fn one_that_came_back_answers_when_it_has_what_it_missed() {
        let mut answers = Answers::default();
        look(&mut answers, 0, 100, None);
        look(&mut answers, 4_000, 500, Some(100));
        assert!(!answers.may_join(&b()));
        assert!(answers.silent_for(&b(), 4_000));
        look(&mut answers, 4_100, 600, Some(500));
        assert!(answers.may_join(&b()));
    }
}
