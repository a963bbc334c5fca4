use sb_failover::{Armed, Term};

/// The process that kills PostgreSQL when its deadline passes.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Its process is gone or does not answer.
    pub lost: bool,
    /// Its process stands still: it takes no deadline, says nothing and kills nobody.
    pub stopped: bool,
    pub armed: Option<Armed>,
    /// Its deadline has passed and not everything is dead yet.
    pub killing: bool,
    pub highest: Term,
}

impl Guard {
    /// Takes a deadline; false when it refuses.
    pub fn arm(&mut self, armed: Armed) -> bool {
        let taken = !self.lost && !self.stopped && armed.term >= self.highest;
        if taken {
            self.highest = armed.term;
            self.armed = Some(armed);
        }
        taken
    }
}
