//! A sound standby: point it at the primary, notice when its copy is not sound any more, freeze in time.

use sb_pgtypes::Position;
use sb_topology::ServerName;

use crate::mutant::Mutant;
use crate::record::{Standing, TransferKind};
use crate::timings::ms;
use crate::{Broken, Command, DataDirectory, JournalEntry, Phase, Promise, Role, Storage, Trigger};

use super::{AfterFence, Machine};

impl Machine {
    pub(super) fn step_following(&mut self) {
        if self.data_is_foreign() {
            self.parked = Some(super::ParkReason::ForeignData);
            return self.go(Trigger::WrongData);
        }
        if self.postgres.as_ref().is_some_and(|p| p.role == Role::Primary) && !self.postgres_is_gone() {
            return self.go_fence(Trigger::FoundUnlawful, AfterFence::Resume);
        }
        if self.lease_is_mine() {
            return self.resume_lease();
        }
        // A founder that began as a standby because the record was late.
        if self.postgres.as_ref().is_some_and(|p| self.founds_here(p.data)) {
            return self.go(Trigger::MayFound);
        }
        self.disarm();
        if self.copy_is_unsound() {
            return self.go(Trigger::CopyUnsound);
        }
        if self.is_due_to_freeze() {
            self.journal_detection();
            return self.go(Trigger::Suspected);
        }
        self.point(self.upstream());
        self.note_caught_up();
    }

    /// From whom to receive: the holder, unless a promise forbids it. After a release it stays as it is: what
    /// the old primary sent last may still be on its way.
    fn upstream(&self) -> Option<ServerName> {
        let released = self.lease().is_some_and(|l| l.released.is_some());
        if released && let Some(pointed) = &self.pointed {
            return pointed.clone();
        }
        let holder = self.other_holder()?;
        if self.promise_stands() { None } else { Some(holder) }
    }

    /// Whether this server has promised to take nothing more under the lease as it is.
    pub(super) fn promise_stands(&self) -> bool {
        let lease = self.lease().map(|l| Promise { term: l.term, seq: l.seq });
        // A promise for a later lease than this replica has seen stands as well.
        self.promise.is_some_and(|p| lease.is_none_or(|l| p >= l))
    }

    /// Runs the standby and lets it receive from `upstream`.
    pub(super) fn point(&mut self, upstream: Option<ServerName>) {
        let stopped =
            self.postgres_is_gone() || self.postgres.as_ref().is_some_and(|p| p.role == Role::Stopped);
        if !(stopped || self.pointed.as_ref() != Some(&upstream)) || !self.idle() {
            return;
        }
        if let Some(upstream) = upstream.clone() {
            let term = self.term();
            self.journal(JournalEntry::Following { upstream, term });
        }
        if stopped {
            self.begin(|op| Command::StartStandby { op, upstream });
        } else {
            self.begin(|op| Command::Follow { op, upstream });
        }
    }

    /// The own position, when PostgreSQL is a standby that knows it.
    pub(super) fn own_position(&self) -> Option<&Position> {
        self.postgres.as_ref().filter(|p| p.role == Role::Standby).and_then(|p| p.position.as_ref())
    }

    fn copy_is_unsound(&self) -> bool {
        // A lease that came late ended the repair, and was given back.
        if self.phase == Phase::Repairing {
            return true;
        }
        let Some(postgres) = &self.postgres else {
            return false;
        };
        let other = self.other_holder().is_some();
        let broken = match postgres.broken {
            None => false,
            Some(Broken::WalRemoved | Broken::Diverged) => other,
            // Without a primary there is nobody to copy from, and whether the copy is whole may yet matter.
            Some(Broken::CannotStart) => other && self.renewals_are_fresh(),
        };
        let absent = postgres.data == DataDirectory::Absent;
        absent || broken || self.copy_has_left_the_line()
    }

    /// Whether a renewal was seen lately. What a start replays is none: it may be old.
    fn renewals_are_fresh(&self) -> bool {
        let fresh = ms(2 * self.timings().renew_ms);
        self.watch.moved_at().is_some_and(|at| self.now <= at + fresh)
    }

    /// Whether the own log has something that the lineage of this very term has not.
    pub(super) fn copy_has_left_the_line(&self) -> bool {
        let (Some(record), Some(own)) = (&self.record, self.own_position()) else {
            return false;
        };
        let Some(in_force) = record.lineage.as_ref().filter(|l| l.term == record.term()) else {
            return false;
        };
        let left = match Standing::of(own, &in_force.lineage) {
            Standing::InForce => false,
            Standing::Diverged => !self.record_is_older(),
            // Beyond the promotion on record: of an attempt that failed, or of a later term than this replica has
            // seen. Without renewals nobody can tell, and an election may need the copy.
            Standing::Unrecorded => self.renewals_are_fresh() && !self.record_is_older(),
        };
        left && self.other_holder().is_some()
    }

    /// Whether this server has promoted in a later term than its replica of the store has seen.
    fn record_is_older(&self) -> bool {
        match self.phase {
            Phase::Promoting { term } | Phase::Primary { term } => term > self.term(),
            Phase::Empty
            | Phase::Initializing
            | Phase::Standby
            | Phase::Repairing
            | Phase::CatchingUp { .. } => false,
        }
    }

    /// A repaired copy counts once it has everything that it may have confirmed before.
    fn note_caught_up(&mut self) {
        let Phase::CatchingUp { until } = &self.phase else {
            return;
        };
        let has_it = self.own_position().is_some_and(|own| own.contains(until));
        let lost_anyway = self.record.as_ref().is_some_and(|r| r.standing(until) == Some(Standing::Diverged));
        if has_it || lost_anyway {
            self.begin(|op| Command::Persist { op, phase: Phase::Standby });
        }
    }

    /// Whether this server may take part in an election (R8): also not while neither its promise nor its promotion
    /// could become durable.
    fn may_stand(&self) -> bool {
        if self.storage == Storage::Hangs {
            return false;
        }
        let unsound = match &self.phase {
            Phase::Empty | Phase::Initializing | Phase::Repairing | Phase::CatchingUp { .. } => true,
            Phase::Standby | Phase::Promoting { .. } | Phase::Primary { .. } => false,
        };
        let known = self.record.as_ref().and_then(|r| r.members.get(&self.config.me));
        let on_line = |r: &crate::ClusterRecord| {
            self.own_position().is_some_and(|own| r.standing(own).is_some_and(|s| s != Standing::Diverged))
        };
        !unsound && known == Some(&self.config.member) && self.record.as_deref().is_some_and(on_line)
    }

    fn is_due_to_freeze(&mut self) -> bool {
        if !self.config.member.promotable || self.lease().is_none() || !self.may_stand() {
            return false;
        }
        if self.is_held_back() {
            return false;
        }
        if !self.is_void() {
            return true;
        }
        let Some(at) = self.election_begins_at() else {
            return false;
        };
        self.reached(at)
    }

    /// When this server should freeze; [`None`] while nobody is to take over without being asked.
    fn election_begins_at(&self) -> Option<crate::BootTime> {
        let record = self.record.as_ref()?;
        let lease = record.lease.as_ref()?;
        // Whoever is named takes what the others have (R5), so they report too.
        let asked = record.transfer.as_ref().is_some_and(|t| match t.kind {
            TransferKind::Switchover => t.to.as_ref() == Some(&self.config.me),
            TransferKind::Failover { .. } => true,
        });
        if let Some(released) = &lease.released {
            let since = self.watch.released_at()?;
            let later = since + ms(self.timings().transfer_wait_ms);
            let has_end = || {
                let own = self.own_position();
                released.end.as_ref().is_none_or(|end| own.is_some_and(|own| own.contains(end)))
            };
            return match &released.to {
                None => Some(since),
                Some(to) if *to == self.config.me && has_end() => Some(since),
                Some(_) => Some(later),
            };
        }
        let automatic = record.pause.is_none() && !record.sync.degraded;
        if automatic || asked { self.watch.suspect_at(self.timings()) } else { None }
    }

    fn journal_detection(&mut self) {
        if let Some(lease) = self.lease() {
            let (holder, term, seq) = (lease.holder.clone(), lease.term, lease.seq);
            self.journal(JournalEntry::Detected { holder, term, seq });
        }
    }

    /// Whether the lease that this server froze for is still the one in force.
    pub(super) fn is_void(&self) -> bool {
        let Some(lease) = self.lease() else {
            return true;
        };
        let promised = self.promise.map(|p| (p.term, p.seq));
        self.lease_is_mine() || promised != Some((lease.term, lease.seq))
    }

    pub(super) fn step_freezing(&mut self) {
        let Some(lease) = self.lease() else {
            return self.go(Trigger::Voided);
        };
        let want = Promise { term: lease.term, seq: lease.seq };
        // A renewal that was seen since: nothing was promised for it.
        let moved = *self.stage.promise.get_or_insert(want) != want;
        if moved || self.lease_is_mine() || self.promise.is_some_and(|p| p > want) {
            return self.go(Trigger::Voided);
        }
        if self.promise != Some(want) {
            return self.begin(|op| Command::StorePromise { op, promise: want });
        }
        self.freeze();
    }

    fn freeze(&mut self) {
        if self.rules.broken_by(Mutant::NoFreeze) {
            self.stage.position = self.own_position().cloned();
        }
        if let Some(position) = self.stage.position.clone() {
            let term = self.term();
            self.journal(JournalEntry::Frozen { term, position: position.clone() });
            self.go(Trigger::Stopped);
            self.stage.position = Some(position);
            return;
        }
        let stopped =
            self.postgres_is_gone() || self.postgres.as_ref().is_some_and(|p| p.role == Role::Stopped);
        if stopped {
            self.begin(|op| Command::StartStandby { op, upstream: None });
        } else {
            self.begin(|op| Command::Freeze { op });
        }
    }
}
