//! Tells when this server's libraries sort text otherwise than those with which the data was written.

use std::time::Duration;

use sb_pgrepl::DifferingCollation;
use tokio_util::sync::CancellationToken;

use super::driver::Driver;
use crate::journal::Entry;
use crate::troubles::{Change, Topic};

/// Between two looks, in seconds: libraries change with an upgrade of the system.
const LOOK_EVERY_SECONDS: u64 = 60;

/// Longest wait for one answer of PostgreSQL, in milliseconds.
const LOOK_MS_MAX: u64 = 2_000;

/// Looks again and again, until `stop`. While PostgreSQL does not answer, what was said last stands.
pub async fn watch(driver: Driver, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(LOOK_EVERY_SECONDS)) => {}
        }
        let differing = driver.instance().differing_collations(Duration::from_millis(LOOK_MS_MAX)).await;
        let Ok(differing) = differing else { continue };
        let sentence = sentence(&differing);
        if let (Change::Began | Change::Differs, Some(sentence)) =
            (driver.config.troubles.set(Topic::Collations, sentence.clone()), sentence)
        {
            tracing::warn!(?differing, "text is sorted otherwise here than where it was written");
            driver.config.journal.record(Entry::new("collations.differ", sentence));
        }
    }
}

fn sentence(differing: &[DifferingCollation]) -> Option<String> {
    let name = |d: &DifferingCollation| format!("`{}` ({}, here {})", d.database, d.written, d.here);
    let names: Vec<_> = differing.iter().map(name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "indexes on text may be out of order here, because the libraries sort otherwise than where they were \
             written: {}. Bring the server to the same system; after a promotion REINDEX, then ALTER DATABASE ... \
             REFRESH COLLATION VERSION",
            names.join(", ")
        )
    })
}
