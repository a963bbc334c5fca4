//! Starting and stopping PostgreSQL through the guard, its parent.

use std::time::Duration;

use sb_failover::Term;
use sb_pgrepl::{ShutdownMode, StartSpec};

use crate::guard::{self, Role, RunAs, StopMode};
use crate::guard_link::{GuardLink, GuardLinkError, answer, guard_term};

/// Longest wait for a program to come to run, in milliseconds: leftovers of a former life are killed first.
const START_MS_MAX: u64 = 5_000;

/// Between two attempts to stop a postmaster that is being started, in milliseconds.
const STARTING_POLL_MS: u64 = 20;

/// PostgreSQL was not started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum PostmasterError {
    /// The guard refused, or did not answer.
    #[error(transparent)]
    Guard(#[from] GuardLinkError),
    /// It still runs when the time is over.
    #[error("PostgreSQL did not end within {} ms", .0.as_millis())]
    Alive(Duration),
}

/// Starts PostgreSQL as the spec says: writable in `term`, or as a standby.
///
/// # Errors
/// When it was fenced since the operation began, or the guard refuses or does not answer.
pub async fn start(link: &GuardLink, spec: StartSpec, term: Option<Term>) -> Result<(), PostmasterError> {
    let role = term.map_or(Role::Standby, |term| Role::Writable { term: guard_term(term) });
    let run_as = spec.run_as.map(|user| RunAs { uid: user.uid, gid: user.gid, groups: Vec::new() });
    let spec = guard::StartSpec {
        program: spec.program,
        args: spec.args,
        env: spec.env,
        data_dir: spec.data_dir,
        log_file: Some(spec.log_file),
        run_as,
        role,
    };
    link.start(spec, Duration::from_millis(START_MS_MAX)).await?;
    link.refresh().await?;
    Ok(())
}

/// Stops PostgreSQL and returns when nothing of it is left; also when there was nothing.
///
/// # Errors
/// When it is not known to be gone within the limit.
pub async fn stop(link: &GuardLink, mode: ShutdownMode, within: Duration) -> Result<(), PostmasterError> {
    let mode = match mode {
        ShutdownMode::Smart => StopMode::Smart,
        ShutdownMode::Fast => StopMode::Fast,
        ShutdownMode::Immediate => StopMode::Immediate,
    };
    let ended = async {
        // A postmaster that is being started cannot be told yet.
        while !told(link, mode).await? {
            tokio::time::sleep(Duration::from_millis(STARTING_POLL_MS)).await;
        }
        link.gone().await
    };
    match tokio::time::timeout(within, ended).await {
        Ok(gone) => Ok(gone?),
        Err(_) => Err(PostmasterError::Alive(within)),
    }
}

/// Tells the postmaster to stop. `false`: it is being started.
async fn told(link: &GuardLink, mode: StopMode) -> Result<bool, GuardLinkError> {
    match link.client()?.stop(mode, answer()).await {
        Ok(()) => Ok(true),
        Err(guard::GuardClientError::Refused(guard::Refusal::NotRunning)) => {
            Ok(!matches!(link.refresh().await?.postmaster, guard::Postmaster::Starting { .. }))
        }
        Err(error) => Err(error.into()),
    }
}
