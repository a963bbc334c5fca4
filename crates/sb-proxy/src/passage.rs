use std::time::{Duration, Instant};

use crate::{Choice, Limits, Outlook, Part, Target, Term};

/// The way of one connection, from being let in to its end: what to do next, given where connections may go and the time.
///
/// No socket, clock or task is in it. Whoever drives it does what [`Passage::step`] says, tells how a connect ended
/// ([`Passage::connected`], [`Passage::failed`]), and asks again when the outlook changed or the time named has come.
#[derive(Debug)]
pub struct Passage {
    limits: Limits,
    held_until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Held,
    /// The last connect failed. Where nothing else is offered since, the next one waits until `again`.
    Refused {
        offered: Offer,
        failures: usize,
        again: Instant,
    },
    Dialling {
        offered: Offer,
        failures: usize,
    },
    Carried {
        choice: Choice,
        term: Term,
        outside_since: Option<Instant>,
    },
    Ended(Reason),
}

/// What newcomers are offered, and the term that it was in.
type Offer = (Term, Vec<Choice>);

/// What to do with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then, unless the outlook changes.
    Wait {
        /// When to ask again.
        until: Instant,
    },
    /// Connect to this server, or go on connecting to it, until then at the latest. An attempt at another one is given up.
    Dial {
        /// The server.
        target: Target,
        /// When the attempt has failed.
        until: Instant,
    },
    /// Pass bytes on, between the client and the server that it is connected to.
    Carry {
        /// When to ask again although the outlook has not changed.
        review: Option<Instant>,
    },
    /// It is over.
    End(Reason),
}

/// Why a connection is ended by the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No server took it in the time that it may be held.
    HeldTooLong,
    /// A newer term has begun.
    NewTerm,
    /// Its server is no primary any more, and nobody knows of a newer term yet.
    PrimaryLost,
    /// Its standby is too far behind, or silent.
    StandbyLeft,
}

impl Passage {
    /// The way of a connection that was let in at `now`.
    #[must_use]
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self { limits: *limits, held_until: now + limits.hold, state: State::Held }
    }

    /// What to do now.
    pub fn step(&mut self, outlook: &Outlook, now: Instant) -> Step {
        match &mut self.state {
            State::Ended(reason) => Step::End(*reason),
            State::Carried { choice, term, outside_since } => {
                let fate = match choice.part {
                    Part::Primary => at_primary(&choice.target, *term, outlook),
                    Part::Standby => {
                        at_standby(&choice.target, outside_since, outlook, now, self.limits.grace)
                    }
                };
                fate.unwrap_or_else(|reason| self.end(reason))
            }
            State::Held | State::Refused { .. } | State::Dialling { .. } if now >= self.held_until => {
                self.end(Reason::HeldTooLong)
            }
            State::Held | State::Refused { .. } | State::Dialling { .. } => self.aim(outlook, now),
        }
    }

    /// The connect that [`Step::Dial`] asked for has succeeded. Where newcomers are offered something else by now it came
    /// too late: nothing has been passed on yet, so the next step is another than [`Step::Carry`].
    pub fn connected(&mut self, outlook: &Outlook) {
        if let State::Dialling { offered: (term, choices), failures } = &self.state {
            let in_time = outlook.term == *term && outlook.choices == *choices;
            self.state = match in_time {
                true => {
                    let choice = choices[failures % choices.len()].clone();
                    State::Carried { choice, term: *term, outside_since: None }
                }
                false => State::Held,
            };
        }
    }

    /// The connect that [`Step::Dial`] asked for has failed. The next choice is tried at once, all of them again after a
    /// pause that doubles.
    pub fn failed(&mut self, now: Instant) {
        if let State::Dialling { offered, failures } = &self.state {
            let failures = failures + 1;
            let rounds = failures / offered.1.len();
            let pause = match failures % offered.1.len() {
                0 => {
                    self.limits.retry_min.saturating_mul(1 << (rounds - 1).min(16)).min(self.limits.retry_max)
                }
                _ => Duration::ZERO,
            };
            self.state = State::Refused { offered: offered.clone(), failures, again: now + pause };
        }
    }

    fn aim(&mut self, outlook: &Outlook, now: Instant) -> Step {
        if outlook.choices.is_empty() {
            self.state = State::Held;
            return Step::Wait { until: self.held_until };
        }
        let as_before = |(term, choices): &Offer| *term == outlook.term && *choices == outlook.choices;
        let failures = match &self.state {
            State::Refused { offered, again, .. } if as_before(offered) && now < *again => {
                return Step::Wait { until: (*again).min(self.held_until) };
            }
            State::Refused { offered, failures, .. } | State::Dialling { offered, failures }
                if as_before(offered) =>
            {
                *failures
            }
            _ => 0,
        };
        let offered = (outlook.term, outlook.choices.clone());
        let target = offered.1[failures % offered.1.len()].target.clone();
        self.state = State::Dialling { offered, failures };
        Step::Dial { target, until: (now + self.limits.dial).min(self.held_until) }
    }

    fn end(&mut self, reason: Reason) -> Step {
        self.state = State::Ended(reason);
        Step::End(reason)
    }
}

/// A session on a primary lasts as long as that server is the one of that term.
fn at_primary(server: &Target, term: Term, outlook: &Outlook) -> Result<Step, Reason> {
    if outlook.term != term {
        return Err(Reason::NewTerm);
    }
    match outlook.primary.target() == Some(server) {
        true => Ok(Step::Carry { review: None }),
        false => Err(Reason::PrimaryLost),
    }
}

/// A session on a standby outlives changes of term, and a short absence of its server from what is offered.
fn at_standby(
    server: &Target,
    outside_since: &mut Option<Instant>,
    outlook: &Outlook,
    now: Instant,
    grace: Duration,
) -> Result<Step, Reason> {
    if outlook.offers(server) {
        *outside_since = None;
        return Ok(Step::Carry { review: None });
    }
    let review = *outside_since.get_or_insert(now) + grace;
    if now >= review { Err(Reason::StandbyLeft) } else { Ok(Step::Carry { review: Some(review) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Leading, Routes, Standby};

    fn target(name: &str) -> Target {
        Target::new(name, "127.0.0.1:5432".parse().unwrap())
    }

    fn looking(access: Access, term: u64, primary: Leading, standbys: &[&str]) -> Outlook {
        let standby = |name: &&str| Standby { target: target(name), lag_bytes: 0, distance: Duration::ZERO };
        let standbys = standbys.iter().map(standby).collect();
        let mut outlook = Outlook::default();
        outlook.follow(access, &Routes { term: Term::new(term), primary, standbys }, 0);
        outlook
    }

    fn writing(term: u64, primary: Leading) -> Outlook {
        looking(Access::ReadWrite, term, primary, &[])
    }

    fn carried(outlook: &Outlook, now: Instant) -> Passage {
        let mut passage = Passage::new(&Limits::default(), now);
        assert!(matches!(passage.step(outlook, now), Step::Dial { .. }));
        passage.connected(outlook);
        assert_eq!(passage.step(outlook, now), Step::Carry { review: None });
        passage
    }

    #[test]
    fn a_connection_waits_for_a_primary_and_then_no_longer() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut passage = Passage::new(&limits, now);
        let nobody = writing(1, Leading::Nobody);
        assert_eq!(passage.step(&nobody, now), Step::Wait { until: now + limits.hold });
        let late = now + limits.hold;
        assert_eq!(passage.step(&nobody, late), Step::End(Reason::HeldTooLong));
        let open = writing(1, Leading::Open(target("a")));
        assert_eq!(passage.step(&open, late), Step::End(Reason::HeldTooLong), "an end is an end");
    }

    #[test]
    fn a_refused_connect_is_tried_again_after_pauses_that_grow_to_a_bound() {
        let limits = Limits::default();
        let mut now = Instant::now();
        let mut passage = Passage::new(&limits, now);
        let open = writing(1, Leading::Open(target("a")));
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(matches!(passage.step(&open, now), Step::Dial { .. }));
            passage.failed(now);
            let Step::Wait { until } = passage.step(&open, now) else { panic!("it waits") };
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 500, 500]);
    }

    #[test]
    fn a_new_primary_is_tried_at_once_also_after_the_old_one_refused() {
        let now = Instant::now();
        let mut passage = Passage::new(&Limits::default(), now);
        let old = writing(1, Leading::Open(target("a")));
        assert!(matches!(passage.step(&old, now), Step::Dial { .. }));
        passage.failed(now);
        let new = writing(2, Leading::Open(target("b")));
        let Step::Dial { target: dialled, .. } = passage.step(&new, now) else { panic!("it dials") };
        assert_eq!(dialled, target("b"));
    }

    #[test]
    fn a_reader_whose_nearest_standby_does_not_answer_goes_to_the_next_one_at_once() {
        let now = Instant::now();
        let mut passage = Passage::new(&Limits::default(), now);
        let outlook = looking(Access::ReadOnly, 1, Leading::Open(target("p")), &["a", "b"]);
        let mut dialled = Vec::new();
        while let Step::Dial { target, .. } = passage.step(&outlook, now) {
            dialled.push(target.name.to_string());
            passage.failed(now);
        }
        assert_eq!(dialled, ["a", "b", "p"]);
    }

    #[test]
    fn a_newer_term_cuts_also_when_the_same_server_leads_in_it() {
        let now = Instant::now();
        let mut passage = carried(&writing(1, Leading::Open(target("a"))), now);
        let step = passage.step(&writing(2, Leading::Open(target("a"))), now);
        assert_eq!(step, Step::End(Reason::NewTerm));
    }

    #[test]
    fn a_closing_primary_keeps_whom_it_has_and_gets_nobody_new() {
        let now = Instant::now();
        let mut passage = carried(&writing(1, Leading::Open(target("a"))), now);
        let closing = writing(1, Leading::Closing(target("a")));
        assert_eq!(passage.step(&closing, now), Step::Carry { review: None });
        let mut newcomer = Passage::new(&Limits::default(), now);
        assert!(matches!(newcomer.step(&closing, now), Step::Wait { .. }));
        let step = passage.step(&writing(1, Leading::Nobody), now);
        assert_eq!(step, Step::End(Reason::PrimaryLost));
    }

    #[test]
    fn a_connect_that_succeeds_too_late_is_given_up_and_the_client_goes_on_waiting() {
        let (limits, now) = (Limits::default(), Instant::now());
        let mut passage = Passage::new(&limits, now);
        assert!(matches!(passage.step(&writing(1, Leading::Open(target("a"))), now), Step::Dial { .. }));
        let nobody = writing(2, Leading::Nobody);
        passage.connected(&nobody);
        assert_eq!(passage.step(&nobody, now), Step::Wait { until: now + limits.hold });
    }

    #[test]
    fn a_reader_stays_on_its_standby_through_a_change_of_term_and_a_short_absence() {
        let (limits, now) = (Limits::default(), Instant::now());
        let reading = |term, standbys| looking(Access::ReadOnly, term, Leading::Open(target("a")), standbys);
        let mut passage = carried(&reading(1, &["b"]), now);
        assert_eq!(passage.step(&reading(2, &["b", "c"]), now), Step::Carry { review: None });
        let review = now + limits.grace;
        assert_eq!(passage.step(&reading(2, &["c"]), now), Step::Carry { review: Some(review) });
        let back = review - Duration::from_millis(1);
        assert_eq!(passage.step(&reading(2, &["b", "c"]), back), Step::Carry { review: None });
        assert_eq!(
            passage.step(&reading(2, &["c"]), review),
            Step::Carry { review: Some(review + limits.grace) }
        );
        let step = passage.step(&reading(2, &["c"]), review + limits.grace);
        assert_eq!(step, Step::End(Reason::StandbyLeft));
    }

    #[test]
    fn a_reader_on_the_primary_is_not_moved_to_a_standby_that_comes_back() {
        let now = Instant::now();
        let reading = |standbys| looking(Access::ReadOnly, 1, Leading::Open(target("a")), standbys);
        let mut passage = carried(&reading(&[]), now);
        assert_eq!(passage.step(&reading(&["b"]), now), Step::Carry { review: None });
    }
}
