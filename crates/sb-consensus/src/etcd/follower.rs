use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::StateMachine;

use super::anchor::Founding;
use super::gateway::{CallError, Watch, WatchEnd};
use super::mirror::Doubt;
use super::patience::Patience;
use super::running::{Running, Unread};

/// Between two looks at the key, in milliseconds. They find out whether etcd has a quorum and bound how late a change
/// is seen when a watch hangs.
const LOOK_MS: u64 = 500;

/// Between two looks while etcd does not answer, in milliseconds.
const LOOK_AGAIN_MS: u64 = 100;

/// Between two looks at how each endpoint is, in milliseconds.
const AROUND_MS: u64 = 5_000;

/// A watch that is silent for this long, in milliseconds, while the key has changed, hangs.
const SILENT_MS_MAX: u64 = 1_000;

/// Between two attempts to watch, in milliseconds.
const WATCH_AGAIN_MS: u64 = 200;

/// Whether this member may make the group's first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It may, with this number.
    Founds(Founding),
    /// It waits until there is one.
    Joins,
}

/// Looks at the key again and again, until this member doubts itself.
pub(super) async fn look<S: StateMachine>(shared: Arc<Running<S>>, beginning: Beginning) -> Doubt {
    let mut patience = Patience::default();
    loop {
        let pause = match shared.refresh(patience.limit()).await {
            Ok(()) => {
                patience.answered();
                LOOK_MS
            }
            Err(Unread::Missing) => {
                patience.answered();
                if let Err(doubt) = found(&shared, beginning, patience.limit()).await {
                    return doubt;
                }
                LOOK_AGAIN_MS
            }
            Err(Unread::Call(error)) => {
                tracing::debug!(%error, "etcd did not answer");
                patience.unanswered();
                LOOK_AGAIN_MS
            }
            Err(Unread::Doubt(doubt)) => return doubt,
        };
        shared.publish_health();
        sleep(Duration::from_millis(pause)).await;
    }
}

/// Makes the first record, if this member may. Whoever else did it first has won, and the next look finds it.
async fn found<S: StateMachine>(
    shared: &Running<S>,
    beginning: Beginning,
    limit: Duration,
) -> Result<(), Doubt> {
    let Beginning::Founds(founding) = beginning else { return Ok(()) };
    if shared.mirror.revision() > 0 {
        return Ok(());
    }
    let bytes = shared.mirror.founding(founding);
    if let Err(error) = shared.gateway.put(0, &bytes, limit).await {
        tracing::debug!(%error, "the first record has no answer from etcd");
    }
    Ok(())
}

/// Asks every endpoint how it is, for people to see.
pub(super) async fn look_around<S: StateMachine>(shared: Arc<Running<S>>) {
    loop {
        shared.gateway.look_around().await;
        sleep(Duration::from_millis(AROUND_MS)).await;
    }
}

/// Watches the key for ever, at one endpoint after the other, until this member doubts itself.
pub(super) async fn follow<S: StateMachine>(shared: Arc<Running<S>>) -> Doubt {
    let patience = Patience::default();
    loop {
        shared.beyond(0).await;
        let from = shared.mirror.revision() + 1;
        match shared.gateway.watch(from, patience.limit()).await {
            Ok(watch) => match follow_one(&shared, watch, from - 1).await {
                Ok(end) => tracing::debug!(%end, "a watch on etcd has ended"),
                Err(doubt) => return doubt,
            },
            Err(error) => tracing::debug!(%error, "etcd could not be watched"),
        }
        sleep(Duration::from_millis(WATCH_AGAIN_MS)).await;
    }
}

async fn follow_one<S: StateMachine>(
    shared: &Running<S>,
    mut watch: Watch<'_>,
    mut told: u64,
) -> Result<WatchEnd, Doubt> {
    loop {
        match timeout(Duration::from_millis(SILENT_MS_MAX), watch.next()).await {
            Ok(Ok(Some(version))) => {
                told = version.revision;
                shared.adopt(&version)?;
            }
            Ok(Ok(None)) => {}
            // What was missed is read as a whole: only the newest record counts.
            Ok(Err(end @ WatchEnd::Compacted { .. })) => {
                return match shared.refresh(Patience::default().limit()).await {
                    Err(Unread::Doubt(doubt)) => Err(doubt),
                    Ok(()) | Err(Unread::Call(_) | Unread::Missing) => Ok(end),
                };
            }
            Ok(Err(end)) => return Ok(end),
            Err(_) if shared.mirror.revision() > told => {
                let error = CallError::TimedOut { limit_ms: SILENT_MS_MAX };
                watch.give_way(&error);
                return Ok(error.into());
            }
            Err(_) => {}
        }
    }
}
