//! What an answer means: committed, not committed, or nobody knows. Pure.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::history::Outcome;

/// How far an operation was when its answer came, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The server had not been asked to commit: without that nothing of it stays.
    Working,
    /// It had.
    Committing,
}

/// Classes of SQLSTATE (PostgreSQL, appendix A) with which a server says that a transaction was rolled back: bad data,
/// a broken rule, a state such as a read-only server, a serialisation failure, a bad statement, a full disk.
const ROLLED_BACK: [&str; 8] = ["22", "23", "25", "40", "42", "53", "54", "55"];

/// What an answer means. `warned`: it came with the warning that the standbys were not waited for.
pub(super) fn judge(answer: Result<(), sqlx::Error>, progress: Progress, warned: Warning) -> Outcome {
    match (answer, progress, warned) {
        (Ok(()), _, Warning::None) => Outcome::Ok,
        (Ok(()), _, Warning::NotReplicated) => {
            Outcome::Info("the wait for the standbys was cancelled".into())
        }
        (Err(error), Progress::Working, _) => Outcome::Fail(error.to_string()),
        (Err(error), Progress::Committing, _) if rolled_back(&error) => Outcome::Fail(error.to_string()),
        (Err(error), Progress::Committing, _) => Outcome::Info(error.to_string()),
    }
}

/// What came with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Warning {
    None,
    NotReplicated,
}

fn rolled_back(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
    else {
        return false;
    };
    let class = error.code().get(..2).unwrap_or_default();
    error.severity() == PgSeverity::Error && ROLLED_BACK.contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> sqlx::Error {
        sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into())
    }

    #[test]
    fn a_lost_answer_to_a_commit_is_unknown_and_before_it_a_failure() {
        assert!(matches!(judge(Err(lost()), Progress::Committing, Warning::None), Outcome::Info(_)));
        assert!(matches!(judge(Err(lost()), Progress::Working, Warning::None), Outcome::Fail(_)));
    }

    #[test]
    fn a_commit_that_did_not_wait_for_the_standbys_is_unknown() {
        assert_eq!(judge(Ok(()), Progress::Committing, Warning::None), Outcome::Ok);
        let answer = judge(Ok(()), Progress::Committing, Warning::NotReplicated);
        assert!(matches!(answer, Outcome::Info(_)));
    }
}
