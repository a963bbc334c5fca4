use std::error::Error;
use std::io;

use sb_api::{Gate, Problem};
use sb_client::CallError;

use crate::exit::Exit;

/// Why a verb did not do what was asked: everything that is printed, and the exit status.
#[derive(Debug)]
pub struct Failure {
    /// Exit status.
    pub exit: Exit,
    /// The fact.
    pub message: String,
    /// Numbers, positions, causes; one line each.
    pub details: Vec<String>,
    /// The gates that were not passed.
    pub gates: Vec<Gate>,
    /// What to do; may have several lines.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with nothing but a message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), gates: Vec::new(), hint: None }
    }

    /// Adds a line of detail.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure that an error explains, with the error's causes as detail.
    pub fn from_error(exit: Exit, error: &dyn Error) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            failure.details.push(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// A failure that an agent explained.
    pub fn from_problem(exit: Exit, problem: Problem) -> Self {
        Self {
            exit,
            message: problem.title,
            details: problem.detail.into_iter().collect(),
            gates: problem.gates.into_iter().filter(|gate| !gate.ok).collect(),
            hint: problem.hint,
        }
    }
}

impl From<Failure> for Exit {
    fn from(failure: Failure) -> Self {
        failure.exit
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let hint = error.hint();
        let exit = match &error {
            CallError::Address { .. } => Exit::Usage,
            CallError::Problem(problem) if problem.status == 409 => Exit::Refused,
            CallError::Problem(_) | CallError::Request(_) | CallError::Answer { .. } => Exit::Failed,
            CallError::StillRunning { .. } => Exit::StillRunning,
            CallError::Unreachable { .. }
            | CallError::Dial(_)
            | CallError::Timeout { .. }
            | CallError::Trust(_)
            | CallError::Unauthorised { .. } => Exit::Unreachable,
        };
        let mut failure = match error {
            CallError::Problem(problem) => Self::from_problem(exit, *problem),
            CallError::Unauthorised { problem, target } => {
                let told = Self::from_problem(exit, *problem);
                let message = format!("the agent at `{target}` refused access: {}", told.message);
                Self { message, ..told }
            }
            error => Self::from_error(exit, &error),
        };
        failure.hint = hint;
        failure
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // A reader that has seen enough (`| head`) is no failure of ours.
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Failed };
        Self::new(exit, "could not write to the terminal").detail(error.to_string())
    }
}
