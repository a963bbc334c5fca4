//! Finds the server that accepts writes: one session to each, asked again and again.
//!
//! Sessions to standbys stay open through a promotion, so a new primary is seen without a new connection, and a
//! host that does not answer delays nobody but its own session.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};
use tokio::sync::watch;

use super::access::{Access, AccessError, within};
use crate::place::Place;

/// Between two questions while writers have a primary, and while they look for one.
const CALM: Duration = Duration::from_millis(500);
const HUNTING: Duration = Duration::from_millis(50);

/// A question that takes longer says that the server is gone.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Whether writers are content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Calm,
    Hunting,
}

/// What a server says of itself to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It accepts writes since this moment, as the client saw it.
    ReadWrite(Instant),
    /// It answers and refuses writes.
    ReadOnly,
    /// It does not answer, or lets nobody in.
    Silent,
}

/// Asks one server for as long as anybody listens.
pub(crate) async fn watch_server(
    access: Access,
    place: Place,
    standing: watch::Sender<Standing>,
    mut need: watch::Receiver<Need>,
) {
    while !standing.is_closed() {
        if let Ok(mut session) = access.connect(place).await {
            while let Ok(read_write) = accepts_writes(&mut session, place).await {
                note(&standing, read_write);
                pause(&mut need).await;
            }
        }
        standing.send_if_modified(|now| std::mem::replace(now, Standing::Silent) != Standing::Silent);
        pause(&mut need).await;
    }
}

/// The server that became writable last, of those that are.
pub(crate) fn newest_primary(standings: &[(Place, watch::Receiver<Standing>)]) -> Option<Place> {
    let since = |standing: &watch::Receiver<Standing>| match *standing.borrow() {
        Standing::ReadWrite(since) => Some(since),
        Standing::ReadOnly | Standing::Silent => None,
    };
    let writable = standings.iter().filter_map(|(place, standing)| Some((since(standing)?, *place)));
    writable.max().map(|(_, place)| place)
}

fn note(standing: &watch::Sender<Standing>, read_write: bool) {
    standing.send_if_modified(|now| {
        let before = *now;
        *now = match (read_write, before) {
            (true, Standing::ReadWrite(since)) => Standing::ReadWrite(since),
            (true, _) => Standing::ReadWrite(Instant::now()),
            (false, _) => Standing::ReadOnly,
        };
        *now != before
    });
}

async fn accepts_writes(session: &mut PgConnection, place: Place) -> Result<bool, AccessError> {
    const QUESTION: &str =
        "select not pg_is_in_recovery() and not current_setting('transaction_read_only')::bool";
    let row = within(ANSWER_LIMIT, place, "ask", session.fetch_one(QUESTION)).await?;
    Ok(row.get(0))
}

/// Long while writers are content; a writer that starts to hunt ends it.
async fn pause(need: &mut watch::Receiver<Need>) {
    let hunting = *need.borrow() == Need::Hunting;
    if hunting {
        tokio::time::sleep(HUNTING).await;
    } else {
        let _ = tokio::time::timeout(CALM, need.wait_for(|need| *need == Need::Hunting)).await;
    }
}
