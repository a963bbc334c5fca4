use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::replica::DiskError;

/// How a member of a Raft group runs.
#[derive(Clone)]
pub struct RaftConfig {
    /// The group's id: members of other groups are refused.
    pub cluster: String,
    /// Where log, snapshot and identity are kept. Created when missing; used by one process at a time.
    pub dir: PathBuf,
    /// This server's name, unique in the group.
    pub name: String,
    /// Where peers reach this server; opaque here, read by their [`crate::Connector`].
    pub address: String,
    /// Timeouts.
    pub timings: Timings,
    /// Entries after which a snapshot is taken and the log before it is cut.
    pub snapshot_every_entries: u64,
    /// Entries before the snapshot that stay in the log, so that a member that was away for a short time does not
    /// need a snapshot.
    pub log_tail_entries: u64,
    /// Called when the disk cannot be trusted any more. The default aborts the process.
    pub on_fatal_disk: OnFatalDisk,
    /// Called when the disk has no room for a write. The default has none to give.
    pub make_room: MakeRoom,
}

impl RaftConfig {
    /// A configuration with the defaults.
    pub fn new(
        cluster: impl Into<String>,
        dir: impl Into<PathBuf>,
        name: impl Into<String>,
        address: impl Into<String>,
    ) -> Self {
        Self {
            cluster: cluster.into(),
            dir: dir.into(),
            name: name.into(),
            address: address.into(),
            timings: Timings::default(),
            snapshot_every_entries: 5_000,
            log_tail_entries: 1_000,
            on_fatal_disk: OnFatalDisk::abort(),
            make_room: MakeRoom::none(),
        }
    }
}

/// Raft's timeouts. Equal on all members; a difference costs liveness, never safety.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// The clock of everything below: they are rounded to it.
    pub tick_ms: u32,
    /// How often a leader shows that it is there.
    pub heartbeat_ms: u32,
    /// The shortest silence after which a follower stands for election. A leader that misses a majority for this
    /// long steps down.
    pub election_min_ms: u32,
    /// The longest such silence; each wait is drawn between the two.
    pub election_max_ms: u32,
}

impl Default for Timings {
    /// For round trips up to about 80 ms.
    fn default() -> Self {
        Self { tick_ms: 50, heartbeat_ms: 250, election_min_ms: 800, election_max_ms: 1200 }
    }
}

/// A configuration that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The group's id is empty or too long.
    #[error("the group's id has 1 to {} bytes, not {bytes}", crate::limits::CLUSTER_BYTES_MAX)]
    Cluster {
        /// Its length.
        bytes: usize,
    },
    /// A duration is 0.
    #[error("`{name}` is 0")]
    Zero {
        /// Its name.
        name: &'static str,
    },
    /// Two durations are in the wrong relation.
    #[error("`{smaller}` is not less than `{larger}` by a tick or more")]
    Order {
        /// The one that must be smaller.
        smaller: &'static str,
        /// The one that must be larger.
        larger: &'static str,
    },
}

impl Timings {
    /// Checks the relations between the durations.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let nonzero = [("tick_ms", self.tick_ms), ("heartbeat_ms", self.heartbeat_ms)];
        if let Some((name, _)) = nonzero.into_iter().find(|(_, ms)| *ms == 0) {
            return Err(ConfigError::Zero { name });
        }
        let order = [
            ("heartbeat_ms", self.heartbeat_ms, "election_min_ms", self.election_min_ms),
            ("election_min_ms", self.election_min_ms, "election_max_ms", self.election_max_ms),
        ];
        for (smaller, low, larger, high) in order {
            if self.ticks(low) >= self.ticks(high) {
                return Err(ConfigError::Order { smaller, larger });
            }
        }
        Ok(())
    }

    /// The length of a tick.
    #[must_use]
    pub fn tick(&self) -> Duration {
        Duration::from_millis(u64::from(self.tick_ms))
    }

    /// A duration in ticks, rounded up, at least 1.
    #[must_use]
    pub fn ticks(&self, ms: u32) -> u32 {
        ms.div_ceil(self.tick_ms.max(1)).max(1)
    }
}

/// The disk failed in a way after which nothing on it can be trusted.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} `{}`", path.display())]
pub struct FatalDiskError {
    /// The operation.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub source: std::io::Error,
}

/// What happens after a [`FatalDiskError`].
///
/// After a failed fsync the kernel may have dropped the dirty pages and report success the next time; the only safe
/// answer is to end and read the disk anew. The hook is called once; if it returns, the store stops for good.
#[derive(Clone)]
pub struct OnFatalDisk(Arc<dyn Fn(&FatalDiskError) + Send + Sync>);

impl OnFatalDisk {
    /// Aborts the process: the default.
    #[must_use]
    pub fn abort() -> Self {
        Self::call(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "aborting: the disk cannot be trusted");
            std::process::abort();
        })
    }

    /// Calls a function instead of aborting.
    pub fn call(hook: impl Fn(&FatalDiskError) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn run(&self, error: &FatalDiskError) {
        (self.0)(error);
    }
}

impl std::fmt::Debug for OnFatalDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnFatalDisk")
    }
}

/// Whether room was made on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Some: the write is tried again.
    Made,
    /// None is left: the member stays as it is until there is.
    None,
}

/// What makes room for a write on a full disk, step by step. It must say [`Room::None`] at last.
#[derive(Clone)]
pub struct MakeRoom(Arc<dyn Fn() -> Room + Send + Sync>);

impl MakeRoom {
    /// Nothing does: the default.
    #[must_use]
    pub fn none() -> Self {
        Self::call(|| Room::None)
    }

    /// Calls a function, which may wait for the disk.
    pub fn call(make: impl Fn() -> Room + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Writes, and as long as there is no room and some is made, writes again.
    pub(crate) fn until_it_fits<T>(
        &self,
        mut write: impl FnMut() -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        loop {
            match write() {
                Err(DiskError::Full) if (self.0)() == Room::Made => {}
                ended => return ended,
            }
        }
    }
}

impl std::fmt::Debug for MakeRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MakeRoom")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_write_without_room_is_tried_again_while_room_is_made() {
        let steps = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&steps);
        let make_room = MakeRoom::call(move || {
            let step = shared.fetch_add(1, Ordering::Relaxed);
            if step < 3 { Room::Made } else { Room::None }
        });
        let fits_after_two = || if steps.load(Ordering::Relaxed) < 2 { Err(DiskError::Full) } else { Ok(()) };
        assert!(make_room.until_it_fits(fits_after_two).is_ok());
        let never = || Err::<(), _>(DiskError::Full);
        assert!(matches!(make_room.until_it_fits(never), Err(DiskError::Full)));
    }
}
