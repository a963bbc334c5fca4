//! Runs the agent until a signal ends it.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::report::{self, Failure};

/// Threads that run the agent's tasks. Its work is waiting.
const WORKER_THREADS: usize = 2;

/// Runs `agent` until it ends, or SIGTERM or SIGINT arrives.
pub fn until_told_to_stop<F>(agent: impl FnOnce(CancellationToken) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime =
        builder.worker_threads(WORKER_THREADS).enable_all().build().map_err(|e| report::system(&e))?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| report::system(&e))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| report::system(&e))?;
        let told = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.cancel();
        });
        agent(stop).await
    })
}
