//! A standby that was just re-pointed, and whose first attempts to stream may come too early.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Instance, SqlError};

/// Before the first look, and between two. A first attempt takes a few round trips.
const LOOK: Duration = Duration::from_millis(60);

/// Looks in a row that must show a connected WAL receiver: one whose slot is not there yet is connected for a moment.
const LOOKS_CONNECTED: u32 = 3;

/// A reload wakes the startup process, which goes on at once then instead of after `wal_retrieve_retry_interval`.
const LOOK_SQL: &str = "
    SELECT CASE
        WHEN NOT pg_is_in_recovery() OR current_setting('primary_conninfo') = '' THEN 'over'
        WHEN EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 'connected'
        WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver') THEN 'connecting'
        WHEN pg_reload_conf() THEN 'woken' END";

impl Instance {
    /// Lets a standby that fails to stream try again at once, for a while. A server that becomes primary ends whoever is
    /// logging in just before its promotion, standbys too: whoever was sent away waits for up to
    /// `wal_retrieve_retry_interval` and may be the one that commits wait for. The interval itself stays long, because
    /// every attempt of a standby without a primary is written to its log.
    ///
    /// Returns when it streams, when it is to follow nobody, or after `within`.
    ///
    /// # Errors
    /// When PostgreSQL does not answer well.
    pub async fn hasten_streaming(&self, within: Duration) -> Result<(), SqlError> {
        let deadline = Instant::now() + within;
        tokio::time::sleep(LOOK).await;
        let mut session = self.session_in("postgres", deadline).await?;
        let mut connected = 0;
        while connected < LOOKS_CONNECTED && !session.is_over() {
            let seen: String = session.value("look whether it streams", LOOK_SQL).await?;
            connected = if seen == "connected" { connected + 1 } else { 0 };
            if seen == "over" {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}
