use crate::Instance;

/// Why a standby's last run ended, when every other would end so as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VainStart {
    /// The first segment of the newest timeline ends before the timeline begins ([`Instance::set_torn_segment_aside`]).
    TornSegment,
    /// This server's log is past the point at which the newest timeline that it knows left it.
    Diverged,
}

/// What PostgreSQL's startup process says before it ends, and PostgreSQL with it.
const SIGNS: [(&str, VainStart); 2] = [
    ("but previous recovered WAL file came from timeline", VainStart::TornSegment),
    // "... is not a child of this server's history", "... does not contain minimum recovery point ..."
    ("FATAL:  requested timeline", VainStart::Diverged),
];

/// The first words of a run; what stands before belongs to an earlier one.
const START: &str = "starting PostgreSQL";

/// Its last words. Of a later run that did not even get to its first ones, such as one with a wrong setting, others stand
/// behind them.
const END: &str = "database system is shut down";

impl Instance {
    /// Why the last run of this stopped standby ended, when its log says that the next would end in the same way. A run may
    /// have accepted sessions for a moment before.
    ///
    /// Ask only after a run of the copy that lies in the data directory now: the log is not kept with it.
    #[must_use]
    pub fn why_start_was_vain(&self) -> Option<VainStart> {
        why(&self.log_tail()?)
    }
}

fn why(log: &str) -> Option<VainStart> {
    let run = log.rfind(START).map_or(log, |at| &log[at..]);
    if !run.trim_end().ends_with(END) {
        return None;
    }
    SIGNS.iter().find(|(sign, _)| run.contains(sign)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_LINE: &str =
        "LOG:  starting PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu\n";
    const TORN: &str = "FATAL:  according to history file, WAL location 0/411A000 belongs to timeline 1, but previous \
                        recovered WAL file came from timeline 2\n";
    const DIVERGED: &str = "FATAL:  requested timeline 2 is not a child of this server's history\n";

    const END_LINE: &str = "LOG:  database system is shut down\n";

    #[test]
    fn the_last_words_of_the_last_run_tell_why() {
        assert_eq!(why(&[START_LINE, TORN, END_LINE].concat()), Some(VainStart::TornSegment));
        let two = [START_LINE, TORN, END_LINE, START_LINE, DIVERGED, END_LINE];
        assert_eq!(why(&two.concat()), Some(VainStart::Diverged));
        assert_eq!(
            why(&[TORN, END_LINE].concat()),
            Some(VainStart::TornSegment),
            "its start may be out of reach"
        );
    }

    #[test]
    fn an_earlier_run_tells_nothing_about_the_last() {
        assert_eq!(why(&[START_LINE, TORN, END_LINE, START_LINE].concat()), None);
        assert_eq!(why(&[START_LINE, TORN, END_LINE, START_LINE, END_LINE].concat()), None);
        let wrong_setting = "FATAL:  configuration file \"/data/postgresql.conf\" contains errors\n";
        assert_eq!(why(&[START_LINE, TORN, END_LINE, wrong_setting].concat()), None);
    }
}
