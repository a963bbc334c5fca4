//! Starts of a standby that come to nothing: mended where nothing is lost by it, else told to the machine.

use std::sync::{Arc, Mutex, MutexGuard};

use sb_failover::Broken;
use sb_pgrepl::VainStart;

use super::driver::{Driver, chain};
use crate::journal::Entry;

/// What is known of the starts of the copy that lies in the data directory. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct VainStarts(Arc<Mutex<Known>>);

/// PostgreSQL's log is not kept with the copy that it is about: it says something about this one only after a start.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    started: bool,
    mended: bool,
}

impl VainStarts {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// The copy runs.
    pub(super) fn started(&self) {
        self.known().started = true;
    }

    /// Another copy lies there now.
    pub(super) fn replaced(&self) {
        *self.known() = Known::default();
    }

    /// Whether a mend comes before the next start, when the log says `why` of the last.
    fn may_mend(&self, why: Option<VainStart>) -> bool {
        let mut known = self.known();
        if !known.started {
            return false;
        }
        let torn = why == Some(VainStart::TornSegment);
        let mend = torn && !known.mended;
        // Until the next start the log speaks of what is mended now.
        *known = Known { started: !mend, mended: torn };
        mend
    }

    /// What `why` makes of the copy.
    fn broken(&self, why: Option<VainStart>) -> Option<Broken> {
        let known = self.known();
        match why.filter(|_| known.started)? {
            // The next start mends it first.
            VainStart::TornSegment if !known.mended => None,
            VainStart::TornSegment | VainStart::Diverged => Some(Broken::CannotStart),
        }
    }
}

impl Driver {
    /// Mends what the last start failed for, once, if that is to be had without a new copy. What a mend did not help is told
    /// to the machine by [`Driver::broken_by_start`].
    pub(super) async fn mend_vain_start(&self) {
        if !self.vain_starts.may_mend(self.instance().why_start_was_vain()) {
            return;
        }
        match self.instance().set_torn_segment_aside().await {
            Ok(Some(path)) => {
                let message = "a segment that was received in part was set aside";
                let detail = format!("It is kept as {} until PostgreSQL removes it.", path.display());
                self.config.journal.record(Entry::new("repair.segment", message).detail(detail));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(error = %chain(&error), "could not set a torn segment aside"),
        }
    }

    /// Why the copy of a stopped server will never run, if its last start has shown that.
    pub(super) fn broken_by_start(&self) -> Option<Broken> {
        self.vain_starts.broken(self.instance().why_start_was_vain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORN: Option<VainStart> = Some(VainStart::TornSegment);
    const DIVERGED: Option<VainStart> = Some(VainStart::Diverged);

    #[test]
    fn a_torn_segment_is_mended_once_and_then_the_copy_is_broken() {
        let starts = VainStarts::default();
        starts.started();
        assert_eq!(starts.broken(TORN), None, "it can be mended");
        assert!(starts.may_mend(TORN));
        assert_eq!(starts.broken(TORN), None, "it has not been tried since");
        assert!(!starts.may_mend(TORN));
        starts.started();
        assert_eq!(starts.broken(TORN), Some(Broken::CannotStart));
        assert!(!starts.may_mend(TORN));
    }

    #[test]
    fn a_later_torn_segment_is_mended_again() {
        let starts = VainStarts::default();
        starts.started();
        assert!(starts.may_mend(TORN));
        starts.started();
        assert!(!starts.may_mend(None));
        starts.started();
        assert!(starts.may_mend(TORN));
    }

    #[test]
    fn the_log_says_nothing_of_a_copy_that_has_not_run() {
        let starts = VainStarts::default();
        assert_eq!(starts.broken(DIVERGED), None);
        assert!(!starts.may_mend(TORN));
        starts.started();
        assert_eq!(starts.broken(DIVERGED), Some(Broken::CannotStart));
        starts.replaced();
        assert_eq!(starts.broken(DIVERGED), None);
    }
}
