use std::time::Duration;

/// The first attempt waits this long, in milliseconds: a lease of 2.5 s has room for several.
const ATTEMPT_MS_MIN: u64 = 600;

/// No attempt waits longer than this, in milliseconds.
const ATTEMPT_MS_MAX: u64 = 2_400;

/// How long one attempt at one endpoint may take: short, since another endpoint may be well, and longer while all
/// are slow, since an answer that is never waited for is of no use.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    attempt_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempt_ms: ATTEMPT_MS_MIN }
    }
}

impl Patience {
    pub(super) const fn limit(&self) -> Duration {
        Duration::from_millis(self.attempt_ms)
    }

    pub(super) const fn answered(&mut self) {
        self.attempt_ms = ATTEMPT_MS_MIN;
    }

    /// A quarter more each time, so that three endpoints have been tried before it has doubled.
    pub(super) fn unanswered(&mut self) {
        self.attempt_ms = (self.attempt_ms * 5 / 4).min(ATTEMPT_MS_MAX);
    }
}
