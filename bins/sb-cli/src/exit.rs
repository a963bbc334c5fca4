use std::process::ExitCode;

/// Exit status of `sb-cli`: a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done as asked.
    Done,
    /// Tried and failed.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A safety gate refused; nothing was changed.
    Refused,
    /// No agent could be reached, or it does not accept who calls.
    Unreachable,
    /// Waited long enough; the operation goes on.
    StillRunning,
    /// The cluster works, with less safety than promised.
    Degraded,
    /// The cluster does not accept writes, or may soon stop to.
    Critical,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Unreachable => 4,
            Exit::StillRunning => 5,
            Exit::Degraded => 6,
            Exit::Critical => 7,
        })
    }
}
