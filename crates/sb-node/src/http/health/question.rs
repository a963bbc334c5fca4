//! What a health check asks, and when the answer is yes. Pure.

use sb_api::Problem;
use sb_topology::SiteName;

use super::{Alive, Follows, Health, Lease, Postgres, Serves, WaitedFor};
use crate::http::problem::ProblemAnswer;

/// How far behind a standby may be that is called ready, where the check names no limit: 1 MiB.
pub(super) const READY_LAG_BYTES_MAX: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Primary,
    Leader,
    StandbyLeader,
    Replica,
    ReadOnly,
    Synchronous,
    Asynchronous,
    ReadOnlySynchronous,
    Health,
    Liveness,
    Readiness,
}

/// The paths of both ports; `/` is the health port's alone.
pub(super) const PATHS: &[(&str, Question)] = &[
    ("/primary", Question::Primary),
    ("/master", Question::Primary),
    ("/read-write", Question::Primary),
    ("/leader", Question::Leader),
    ("/standby-leader", Question::StandbyLeader),
    ("/standby_leader", Question::StandbyLeader),
    ("/replica", Question::Replica),
    ("/read-only", Question::ReadOnly),
    ("/sync", Question::Synchronous),
    ("/synchronous", Question::Synchronous),
    ("/quorum", Question::Synchronous),
    ("/async", Question::Asynchronous),
    ("/asynchronous", Question::Asynchronous),
    ("/read-only-sync", Question::ReadOnlySynchronous),
    ("/read-only-quorum", Question::ReadOnlySynchronous),
    ("/health", Question::Health),
    ("/liveness", Question::Liveness),
    ("/readiness", Question::Readiness),
];

/// A query as it came.
pub(super) type Pairs = Vec<(String, String)>;

/// What a query adds to the question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Limits {
    lag_bytes: Option<u64>,
    mode: Mode,
    tags: Vec<(String, String)>,
}

/// Which lag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Mode {
    /// Up to what queries see.
    #[default]
    Apply,
    /// Up to what has been received.
    Write,
}

impl Limits {
    /// Reads `lag`, `mode` and `tag_NAME`; other names mean nothing here.
    pub(super) fn read(pairs: Pairs) -> Result<Self, ProblemAnswer> {
        let mut limits = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "lag" => limits.lag_bytes = Some(bytes(&value).ok_or_else(|| unreadable("lag", &value))?),
                "mode" => limits.mode = Mode::read(&value).ok_or_else(|| unreadable("mode", &value))?,
                _ => limits.tags.extend(name.strip_prefix("tag_").map(|tag| (tag.to_owned(), value))),
            }
        }
        Ok(limits)
    }
}

impl Mode {
    fn read(value: &str) -> Option<Self> {
        match value {
            "apply" => Some(Self::Apply),
            "write" => Some(Self::Write),
            _ => None,
        }
    }
}

/// A size as PostgreSQL's settings have it: bytes, or with one of its units, which are powers of 1,024.
fn bytes(value: &str) -> Option<u64> {
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let factor = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn unreadable(name: &str, value: &str) -> ProblemAnswer {
    let rule = match name {
        "lag" => "It is a number of bytes, or a whole number with kB, MB, GB or TB.",
        _ => "It is apply or write.",
    };
    Problem::new(400, "http.query", "the query of the request cannot be used")
        .detail(format!("`{name}={value}` cannot be read. {rule}"))
        .into()
}

impl Question {
    /// Whether the answer is 200.
    pub(super) fn holds(self, health: &Health, limits: &Limits) -> bool {
        let writes = health.serves == Serves::Writes;
        let standby = health.serves == Serves::Reads && limits.are_tagged(health);
        let waited_for = health.follows.is_some_and(|follows| follows.waited_for == WaitedFor::Yes);
        match self {
            Self::Primary => writes,
            Self::Leader => health.lease == Lease::Held,
            // There is no cluster that follows another one.
            Self::StandbyLeader => false,
            Self::Replica => standby && limits.allow(health),
            Self::ReadOnly => writes || standby && limits.allow(health),
            Self::Synchronous => standby && waited_for && limits.allow(health),
            Self::Asynchronous => standby && !waited_for && limits.allow(health),
            Self::ReadOnlySynchronous => writes || standby && waited_for && limits.allow(health),
            Self::Health => health.postgres == Postgres::Runs,
            Self::Liveness => health.alive == Alive::Yes,
            Self::Readiness => {
                let limit = limits.lag_bytes.unwrap_or(READY_LAG_BYTES_MAX);
                let follows = health.follows.as_ref().filter(|_| standby);
                writes || follows.is_some_and(|follows| limits.mode.is_within(follows, limit))
            }
        }
    }
}

impl Mode {
    /// What is not known is beyond every limit.
    fn is_within(self, follows: &Follows, limit: u64) -> bool {
        let lag = match self {
            Self::Apply => follows.apply_lag_bytes,
            Self::Write => follows.write_lag_bytes,
        };
        lag.is_some_and(|lag| lag <= limit)
    }
}

impl Limits {
    /// Of the tags that Patroni's members carry, ours have the site.
    fn are_tagged(&self, health: &Health) -> bool {
        let site = health.site.as_ref().map(SiteName::as_str);
        self.tags.iter().all(|(tag, value)| tag == "site" && site == Some(value.as_str()))
    }

    fn allow(&self, health: &Health) -> bool {
        let within = |limit| health.follows.as_ref().is_some_and(|f| self.mode.is_within(f, limit));
        self.lag_bytes.is_none_or(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(query: &[(&str, &str)]) -> Option<Limits> {
        Limits::read(query.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).ok()
    }

    #[test]
    fn a_lag_is_read_as_postgresql_reads_sizes() {
        let read = |value| limits(&[("lag", value)]).and_then(|limits| limits.lag_bytes);
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1048576"), Some(1 << 20));
        assert_eq!(read("16kB"), Some(16 << 10));
        assert_eq!(read("10MB"), Some(10 << 20));
        assert_eq!(read("1GB"), Some(1 << 30));
        for unreadable in ["", "MB", "-1", "1.5MB", "1 MB", "1mb", "10MiB", "99999999999TB", "1kB1"] {
            assert_eq!(limits(&[("lag", unreadable)]), None, "{unreadable}");
        }
    }

    #[test]
    fn names_that_mean_nothing_are_left_alone() {
        assert_eq!(limits(&[("pretty", "")]), Some(Limits::default()));
        assert_eq!(limits(&[("mode", "flush")]), None);
    }
}
