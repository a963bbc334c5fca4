//! What the guard permits: terms, the deadline and the postmaster's role, without clock, processes or sockets.

use super::clock::BootNanos;
use super::messages::{Armed, Fallen, Refusal, Role, Term};

/// Where the one postmaster is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// No descendant is left.
    Gone,
    /// Forked; the program does not run yet.
    Starting(Role),
    /// The program runs.
    Running(Role),
    /// Its processes are being killed, or waited for.
    Ending,
}

/// The guard's book. Every method takes the present as an argument and changes nothing when it refuses.
#[derive(Debug)]
pub(super) struct Ledger {
    highest_term: Option<Term>,
    armed: Option<Armed>,
    /// The deadline that has passed while its backends may still live.
    falling: Option<Armed>,
    fallen: Option<Fallen>,
    fences: u64,
    life: Life,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self { highest_term: None, armed: None, falling: None, fallen: None, fences: 0, life: Life::Gone }
    }

    pub(super) fn highest_term(&self) -> Option<Term> {
        self.highest_term
    }

    pub(super) fn armed(&self) -> Option<Armed> {
        self.armed
    }

    pub(super) fn fallen(&self) -> Option<Fallen> {
        self.fallen
    }

    /// Whether a deadline has passed while something may still live.
    pub(super) fn is_falling(&self) -> bool {
        self.falling.is_some()
    }

    pub(super) fn fences(&self) -> u64 {
        self.fences
    }

    pub(super) fn life(&self) -> Life {
        self.life
    }

    pub(super) fn role(&self) -> Option<Role> {
        match self.life {
            Life::Starting(role) | Life::Running(role) => Some(role),
            Life::Gone | Life::Ending => None,
        }
    }

    /// Sets, raises or lowers the deadline. A deadline of the same term may be lowered into the past, which lets the
    /// fence fall at once; a first one may not begin there.
    pub(super) fn arm(&mut self, term: Term, fence_at: BootNanos, now: BootNanos) -> Result<(), Refusal> {
        if let Some(highest) = self.highest_term.filter(|highest| term < *highest) {
            return Err(Refusal::StaleTerm { asked: term, highest });
        }
        if self.falling.is_some() || self.deadline_passed(now) {
            return Err(Refusal::Fencing);
        }
        // Under a newer lease the old deadline still counts for what was started under the old one.
        if let Some(Role::Writable { term: writable }) = self.role().filter(|_| !self.is_armed_for(term)) {
            return Err(Refusal::Writable { term: writable });
        }
        if fence_at <= now && !self.is_armed_for(term) {
            return Err(Refusal::DeadlinePassed { term });
        }
        self.highest_term = Some(term);
        self.armed = Some(Armed { term, fence_at });
        self.fallen = None;
        Ok(())
    }

    /// Takes the deadline away, when nothing under it can write. Doing it twice is no fault.
    pub(super) fn disarm(&mut self, term: Term) -> Result<(), Refusal> {
        if self.falling.is_some() {
            return Err(Refusal::Fencing);
        }
        let Some(armed) = self.armed else { return Ok(()) };
        if armed.term != term {
            return Err(Refusal::NotArmed { asked: term, armed: Some(armed.term) });
        }
        match self.life {
            Life::Gone | Life::Starting(Role::Standby) | Life::Running(Role::Standby) => {
                self.armed = None;
                Ok(())
            }
            Life::Starting(Role::Writable { term }) | Life::Running(Role::Writable { term }) => {
                Err(Refusal::Writable { term })
            }
            Life::Ending => Err(Refusal::Alive),
        }
    }

    /// Whether a postmaster of this role may be started now.
    pub(super) fn may_start(&self, role: Role, now: BootNanos) -> Result<(), Refusal> {
        if self.falling.is_some() {
            return Err(Refusal::Fencing);
        }
        if self.life != Life::Gone {
            return Err(Refusal::Alive);
        }
        match role {
            Role::Standby => Ok(()),
            Role::Writable { term } => self.lease_holds(term, now),
        }
    }

    /// A postmaster was forked after [`Ledger::may_start`].
    pub(super) fn forked(&mut self, role: Role) {
        self.life = Life::Starting(role);
    }

    /// Its program runs.
    pub(super) fn runs(&mut self) {
        if let Life::Starting(role) = self.life {
            self.life = Life::Running(role);
        }
    }

    /// The running standby is about to become writable.
    pub(super) fn promoting(&mut self, term: Term, now: BootNanos) -> Result<(), Refusal> {
        if self.falling.is_some() {
            return Err(Refusal::Fencing);
        }
        match self.life {
            Life::Running(Role::Writable { term: writable }) if writable != term => {
                Err(Refusal::Writable { term: writable })
            }
            Life::Running(_) => {
                self.lease_holds(term, now)?;
                self.life = Life::Running(Role::Writable { term });
                Ok(())
            }
            Life::Gone | Life::Starting(_) | Life::Ending => Err(Refusal::NotRunning),
        }
    }

    /// Its processes are being killed, or the postmaster ended before its children did.
    pub(super) fn ending(&mut self) {
        self.life = Life::Ending;
    }

    /// No descendant is left. Returns the fence that is complete by that.
    pub(super) fn gone(&mut self, now: BootNanos) -> Option<Fallen> {
        self.life = Life::Gone;
        let falling = self.falling.take()?;
        self.fallen = Some(Fallen { term: falling.term, deadline: falling.fence_at, gone_at: now });
        self.fallen
    }

    /// Whether the deadline passes now. Returns its term, once; the deadline is used up by it.
    pub(super) fn expire(&mut self, now: BootNanos) -> Option<Term> {
        let armed = self.armed.filter(|armed| armed.fence_at <= now)?;
        self.armed = None;
        self.falling = Some(armed);
        self.fences += 1;
        self.ending();
        Some(armed.term)
    }

    fn deadline_passed(&self, now: BootNanos) -> bool {
        self.armed.is_some_and(|armed| armed.fence_at <= now)
    }

    fn is_armed_for(&self, term: Term) -> bool {
        self.armed.is_some_and(|armed| armed.term == term)
    }

    fn lease_holds(&self, term: Term, now: BootNanos) -> Result<(), Refusal> {
        match self.armed {
            Some(armed) if armed.term == term && armed.fence_at > now => Ok(()),
            Some(armed) if armed.term == term => Err(Refusal::DeadlinePassed { term }),
            other => Err(Refusal::NotArmed { asked: term, armed: other.map(|armed| armed.term) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: BootNanos = BootNanos::from_nanos(1_000);
    const SOON: BootNanos = BootNanos::from_nanos(2_000);
    const LATER: BootNanos = BootNanos::from_nanos(3_000);

    fn term(number: u64) -> Term {
        Term::from(number)
    }

    fn writable(number: u64) -> Role {
        Role::Writable { term: term(number) }
    }

    fn running(role: Role) -> Ledger {
        let mut ledger = Ledger::new();
        ledger.arm(term(5), SOON, NOW).unwrap();
        ledger.may_start(role, NOW).unwrap();
        ledger.forked(role);
        ledger.runs();
        ledger
    }

    #[test]
    fn a_term_below_the_highest_seen_is_refused() {
        let mut ledger = Ledger::new();
        ledger.arm(term(5), SOON, NOW).unwrap();
        ledger.disarm(term(5)).unwrap();
        let refusal = ledger.arm(term(4), LATER, NOW).unwrap_err();
        assert_eq!(refusal, Refusal::StaleTerm { asked: term(4), highest: term(5) });
    }

    #[test]
    fn writing_needs_a_deadline_of_that_very_term() {
        let mut ledger = Ledger::new();
        let unarmed = ledger.may_start(writable(5), NOW).unwrap_err();
        assert_eq!(unarmed, Refusal::NotArmed { asked: term(5), armed: None });
        ledger.arm(term(5), SOON, NOW).unwrap();
        let other = ledger.may_start(writable(6), NOW).unwrap_err();
        assert_eq!(other, Refusal::NotArmed { asked: term(6), armed: Some(term(5)) });
        assert_eq!(ledger.may_start(writable(5), NOW), Ok(()));
        assert_eq!(ledger.may_start(writable(5), SOON), Err(Refusal::DeadlinePassed { term: term(5) }));
    }

    #[test]
    fn a_deadline_moves_both_ways_until_it_has_passed() {
        let mut ledger = running(writable(5));
        ledger.arm(term(5), LATER, NOW).unwrap();
        assert_eq!(ledger.expire(SOON), None);
        ledger.arm(term(5), SOON, NOW).unwrap();
        assert_eq!(
            ledger.arm(term(5), LATER, SOON),
            Err(Refusal::Fencing),
            "it has passed, though not yet acted"
        );
        assert_eq!(ledger.expire(SOON), Some(term(5)));
        assert_eq!(ledger.arm(term(5), LATER, SOON), Err(Refusal::Fencing));
        assert_eq!(ledger.disarm(term(5)), Err(Refusal::Fencing), "it would be taken for a proof");
        assert_eq!(ledger.may_start(Role::Standby, SOON), Err(Refusal::Fencing));
    }

    #[test]
    fn lowering_the_deadline_into_the_past_lets_the_fence_fall() {
        let mut ledger = running(writable(5));
        ledger.arm(term(5), NOW, NOW).unwrap();
        assert_eq!(ledger.expire(NOW), Some(term(5)));
    }

    #[test]
    fn after_the_proof_the_same_term_needs_to_be_armed_again() {
        let mut ledger = running(writable(5));
        ledger.expire(SOON).unwrap();
        let fallen = Fallen { term: term(5), deadline: SOON, gone_at: LATER };
        assert_eq!(ledger.gone(LATER), Some(fallen));
        assert_eq!(ledger.fallen(), Some(fallen));
        let unarmed = Refusal::NotArmed { asked: term(5), armed: None };
        assert_eq!(ledger.may_start(writable(5), SOON), Err(unarmed));
        ledger.arm(term(5), LATER, SOON).unwrap();
        assert_eq!(ledger.may_start(writable(5), SOON), Ok(()));
    }

    #[test]
    fn the_deadline_of_a_writable_postmaster_cannot_be_taken_away() {
        let mut ledger = running(Role::Standby);
        ledger.disarm(term(5)).unwrap();
        ledger.arm(term(5), SOON, NOW).unwrap();
        ledger.promoting(term(5), NOW).unwrap();
        assert_eq!(ledger.disarm(term(5)), Err(Refusal::Writable { term: term(5) }));
        ledger.ending();
        assert_eq!(ledger.disarm(term(5)), Err(Refusal::Alive));
        ledger.gone(LATER);
        assert_eq!(ledger.disarm(term(5)), Ok(()));
    }

    #[test]
    fn a_newer_lease_does_not_extend_what_writes_under_an_older_one() {
        let mut ledger = running(writable(5));
        assert_eq!(ledger.arm(term(6), LATER, NOW), Err(Refusal::Writable { term: term(5) }));
        assert_eq!(ledger.expire(SOON), Some(term(5)));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arm(u64, u64),
        Disarm(u64),
        Start(u64),
        StartStandby,
        Runs,
        Promote(u64),
        Ending,
        Gone,
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..4_u64, 0..40_u64).prop_map(|(term, ahead)| Step::Arm(term, ahead)),
            1 => (1..4_u64).prop_map(Step::Disarm),
            2 => (1..4_u64).prop_map(Step::Start),
            1 => Just(Step::StartStandby),
            3 => Just(Step::Runs),
            2 => (1..4_u64).prop_map(Step::Promote),
            1 => Just(Step::Ending),
            1 => Just(Step::Gone),
            2 => (0..20_u64).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn whatever_writes_has_a_deadline_of_its_own_term_in_the_future(
            steps in proptest::collection::vec(step(), 0..60),
        ) {
            let (mut ledger, mut now, mut highest) = (Ledger::new(), 1_000, None);
            for step in steps {
                let at = BootNanos::from_nanos(now);
                match step {
                    Step::Arm(number, ahead) => {
                        let _ = ledger.arm(term(number), BootNanos::from_nanos(now + ahead), at);
                    }
                    Step::Disarm(number) => { let _ = ledger.disarm(term(number)); }
                    Step::Start(number) => {
                        if ledger.may_start(writable(number), at).is_ok() { ledger.forked(writable(number)); }
                    }
                    Step::StartStandby => {
                        if ledger.may_start(Role::Standby, at).is_ok() { ledger.forked(Role::Standby); }
                    }
                    Step::Runs => ledger.runs(),
                    Step::Promote(number) => { let _ = ledger.promoting(term(number), at); }
                    Step::Ending => ledger.ending(),
                    Step::Gone => { ledger.gone(LATER); }
                    Step::Wait(nanos) => now += nanos,
                }
                let at = BootNanos::from_nanos(now);
                ledger.expire(at);
                if let Some(Role::Writable { term }) = ledger.role() {
                    let armed = ledger.armed();
                    prop_assert!(armed.is_some_and(|armed| armed.term == term && armed.fence_at > at), "{armed:?}");
                }
                prop_assert!(ledger.highest_term() >= highest, "the highest term fell");
                highest = ledger.highest_term();
            }
        }
    }
}
