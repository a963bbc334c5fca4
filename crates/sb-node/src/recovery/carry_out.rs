//! The start of the agent that does what a person has asked the run before.

use std::time::Duration;

use sb_consensus::{MemberId, OpenError, RaftStore, RecoverError};
use sb_failover::Rejection;
use tokio_util::sync::CancellationToken;

use super::{Intent, branch};
use crate::AgentError;
use crate::journal::Entry;
use crate::replicated::Replicated;
use crate::store::StoreOpening;

/// Carries out the recovery that is asked for, if one is: waits until the last lease has certainly ended, looks once
/// more whether it is still right, and makes this server's log the beginning of a new store. A crash at any point finds
/// the intent again, or the new store.
///
/// # Errors
/// When the intent cannot be read or taken away, or the disk fails.
pub async fn carry_out(opening: &StoreOpening<'_>, stop: &CancellationToken) -> Result<(), AgentError> {
    let Some(intent) = Intent::read(opening.layout)? else {
        return Ok(());
    };
    if is_done(opening, &intent)? {
        opening.journal.record(recovered("A crash came before this was noted."));
        return Ok(Intent::remove(opening.layout)?);
    }
    let wait = Duration::from_millis(intent.wait_ms);
    let detail = format!("It waits {} s first, until the last lease has certainly ended.", wait.as_secs());
    let begins = Entry::new("store.recovery", "this server recovers the store, as a person asked");
    opening.journal.record(begins.detail(detail));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = tokio::time::sleep(wait) => {}
    }
    let ended = match wrong_by_now(opening, &intent).await {
        Some(reason) => withdrawn(reason),
        None => recover(opening, &intent)?,
    };
    opening.journal.record(ended);
    Ok(Intent::remove(opening.layout)?)
}

/// Whether an earlier start has carried it out and did not come to take the intent away.
fn is_done(opening: &StoreOpening<'_>, intent: &Intent) -> Result<bool, OpenError> {
    let held = RaftStore::look_into(&opening.layout.raft_dir(), Replicated::default())?;
    Ok(held.is_some_and(|record| record.branch.last == Some(intent.recovery.id)))
}

/// Why the intent must not be carried out any more.
async fn wrong_by_now(opening: &StoreOpening<'_>, intent: &Intent) -> Option<String> {
    let answers = branch::ask(opening.topology, opening.me, opening.credentials).await;
    if let Some(back) = answers.keys().find(|name| intent.recovery.given_up.contains(*name)) {
        return Some(format!("`{back}` was declared lost and answers"));
    }
    let newer = branch::newest(&answers).filter(|(_, store)| store.generation > intent.generation);
    newer.map(|(name, _)| format!("`{name}` belongs to a store that was recovered already"))
}

fn withdrawn(reason: String) -> Entry {
    Entry::new("store.recovery_withdrawn", "the store was not recovered").detail(reason)
}

fn recovered(detail: &str) -> Entry {
    Entry::new("store.recovered", "the store goes on with this server alone").detail(detail)
}

/// What came of it. Whatever is not a fault of the disk leaves the store as it was, and is told.
fn recover(opening: &StoreOpening<'_>, intent: &Intent) -> Result<Entry, OpenError> {
    let Some(member) = MemberId::new(intent.member) else {
        return Ok(withdrawn("the intent names no member of the store".into()));
    };
    match opening.recover(member, &intent.recovery) {
        Ok(made) => {
            let names: Vec<_> = intent.recovery.given_up.iter().map(ToString::to_string).collect();
            let detail = format!(
                "Given up: {}. Member {} goes on alone as {}.",
                names.join(", "),
                made.earlier,
                made.member
            );
            Ok(recovered(&detail))
        }
        Err(RecoverError::Open(error)) => Err(error),
        Err(error) => Ok(withdrawn(reason(&error))),
    }
}

fn reason(error: &RecoverError<Rejection>) -> String {
    match error {
        RecoverError::Refused(rejection) => rejection.to_string(),
        other => other.to_string(),
    }
}
