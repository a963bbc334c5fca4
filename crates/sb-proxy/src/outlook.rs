use crate::{Access, Leading, Routes, Target, Term};

/// What a server is to a connection that goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// It takes writes.
    Primary,
    /// It answers reads.
    Standby,
}

/// Where somebody who comes now is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The server.
    pub target: Target,
    /// What it is.
    pub part: Part,
}

/// What routes mean for the connections of one listener.
///
/// It changes when a decision does, so that a connection need not look at every byte of lag.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outlook {
    /// The newest term.
    pub term: Term,
    /// Where a newcomer is sent, the best first; none while it has to wait.
    pub choices: Vec<Choice>,
    /// Who takes writes.
    pub primary: Leading,
}

impl Outlook {
    /// Takes over newer `routes`. Those of an older term than what is known say nothing about now.
    pub fn follow(&mut self, access: Access, routes: &Routes, lag_bytes_max: u64) {
        if routes.term < self.term {
            return;
        }
        *self = Self::of(access, routes, lag_bytes_max);
    }

    /// Whether a newcomer may be sent to this standby.
    #[must_use]
    pub fn offers(&self, standby: &Target) -> bool {
        self.choices.iter().any(|choice| choice.part == Part::Standby && choice.target == *standby)
    }

    fn of(access: Access, routes: &Routes, lag_bytes_max: u64) -> Self {
        let primary = match &routes.primary {
            Leading::Open(target) => Some(Choice { target: target.clone(), part: Part::Primary }),
            Leading::Nobody | Leading::Closing(_) => None,
        };
        let mut near: Vec<_> = match access {
            Access::ReadWrite => Vec::new(),
            Access::ReadOnly => routes.standbys.iter().filter(|s| s.lag_bytes <= lag_bytes_max).collect(),
        };
        near.sort_by_key(|standby| (standby.distance, standby.target.name.clone()));
        let standbys = near.iter().map(|s| Choice { target: s.target.clone(), part: Part::Standby });
        let choices = standbys.chain(primary).collect();
        Self { term: routes.term, choices, primary: routes.primary.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Standby;

    const LAG_BYTES_MAX: u64 = 100;

    fn target(name: &str) -> Target {
        Target::new(name, "127.0.0.1:5432".parse().unwrap())
    }

    fn standby(name: &str, lag_bytes: u64, milliseconds: u64) -> Standby {
        Standby { target: target(name), lag_bytes, distance: Duration::from_millis(milliseconds) }
    }

    fn routes(term: u64, primary: Leading, standbys: Vec<Standby>) -> Routes {
        Routes { term: Term::new(term), primary, standbys }
    }

    fn chosen(access: Access, routes: &Routes) -> Option<String> {
        let outlook = Outlook::of(access, routes, LAG_BYTES_MAX);
        outlook.choices.first().map(|choice| choice.target.name.to_string())
    }

    #[test]
    fn writers_go_to_the_primary_that_lets_clients_in_and_to_nobody_else() {
        let standbys = || vec![standby("near", 0, 0)];
        let open = routes(1, Leading::Open(target("a")), standbys());
        assert_eq!(chosen(Access::ReadWrite, &open).as_deref(), Some("a"));
        let closing = routes(1, Leading::Closing(target("a")), standbys());
        assert_eq!(chosen(Access::ReadWrite, &closing), None);
        assert_eq!(chosen(Access::ReadWrite, &routes(1, Leading::Nobody, standbys())), None);
    }

    #[test]
    fn readers_go_to_the_nearest_standby_within_the_bound() {
        let standbys = vec![standby("far", 0, 75), standby("behind", 101, 1), standby("near", 100, 8)];
        let open = routes(1, Leading::Open(target("a")), standbys);
        assert_eq!(chosen(Access::ReadOnly, &open).as_deref(), Some("near"));
    }

    #[test]
    fn readers_go_to_the_primary_when_every_standby_is_too_far_behind() {
        let open = routes(1, Leading::Open(target("a")), vec![standby("b", 101, 1)]);
        assert_eq!(chosen(Access::ReadOnly, &open).as_deref(), Some("a"));
        assert_eq!(chosen(Access::ReadOnly, &routes(1, Leading::Nobody, Vec::new())), None);
    }

    #[test]
    fn routes_of_an_older_term_change_nothing() {
        let mut outlook = Outlook::default();
        outlook.follow(Access::ReadWrite, &routes(3, Leading::Open(target("b")), Vec::new()), LAG_BYTES_MAX);
        let known = outlook.clone();
        outlook.follow(Access::ReadWrite, &routes(2, Leading::Open(target("a")), Vec::new()), LAG_BYTES_MAX);
        assert_eq!(outlook, known);
    }

    #[test]
    fn lag_that_changes_no_decision_changes_nothing() {
        let with = |lag| routes(1, Leading::Open(target("a")), vec![standby("b", lag, 1)]);
        let of = |lag| Outlook::of(Access::ReadOnly, &with(lag), LAG_BYTES_MAX);
        assert_eq!(of(0), of(100));
        assert_ne!(of(0), of(101));
    }
}
