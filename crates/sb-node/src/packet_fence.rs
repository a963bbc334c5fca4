//! The agent's hand on the kernel's fence: installed with the first deadline, renewed with each, out of the way of a
//! standby, and never silently missing.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::fence::{Availability, FenceError, KernelFence};

/// What the fence does with PostgreSQL's packets to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// They pass until the lease ends.
    Leased,
    /// They are dropped.
    Closed,
    /// Nothing is between them and the network: PostgreSQL is a standby, or the fence cannot be had.
    Free,
}

/// The kernel's fence for one PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PacketFence {
    fence: Arc<Mutex<Option<KernelFence>>>,
    seen: Arc<StdMutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    passage: Passage,
    trouble: Option<String>,
}

impl PacketFence {
    /// Looks whether this machine can have the fence for PostgreSQL's `port`.
    pub async fn open(port: u16) -> Self {
        let (fence, trouble) = match KernelFence::probe().await {
            Availability::Available => match KernelFence::new(port) {
                Ok(fence) => (Some(fence), None),
                Err(error) => (None, Some(error.to_string())),
            },
            Availability::Unavailable { reason } => (None, Some(reason)),
        };
        if let Some(reason) = &trouble {
            tracing::warn!(%reason, "the kernel's fence cannot be had; the guard's stands alone");
        }
        let seen = Seen { passage: Passage::Free, trouble };
        Self { fence: Arc::new(Mutex::new(fence)), seen: Arc::new(StdMutex::new(seen)) }
    }

    /// Lets packets pass for `remaining`, installing the rules first where they are not.
    pub async fn renew(&self, remaining: Duration) {
        let mut fence = self.fence.lock().await;
        let Some(fence) = fence.as_mut() else { return };
        let installed = if self.passage() == Passage::Free { fence.install_for_primary().await } else { Ok(()) };
        let renewed = installed.and_then(|()| fence.renew(remaining));
        self.note(Passage::Leased, renewed);
    }

    /// Stops packets now, where the rules are installed.
    pub async fn close(&self) {
        let mut fence = self.fence.lock().await;
        if self.passage() == Passage::Free {
            return;
        }
        if let Some(fence) = fence.as_mut() {
            self.note(Passage::Closed, fence.close());
        }
    }

    /// Lets every packet pass: PostgreSQL was started as a standby.
    pub async fn open_for_standby(&self) {
        let mut fence = self.fence.lock().await;
        if let Some(fence) = fence.as_mut() {
            let opened = fence.open_for_standby().await;
            self.note(Passage::Free, opened);
        }
    }

    /// What it does at present, as far as this agent has told it.
    #[must_use]
    pub fn passage(&self) -> Passage {
        self.lock().passage
    }

    /// Why it is not in force, when it is not.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn note(&self, passage: Passage, result: Result<(), FenceError>) {
        let mut seen = self.lock();
        match result {
            Ok(()) => *seen = Seen { passage, trouble: None },
            Err(error) => {
                if seen.trouble.is_none() {
                    tracing::warn!(%error, "the kernel's fence was not changed; the guard's stands alone");
                }
                seen.trouble = Some(error.to_string());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().expect("nothing panics while it is held")
    }
}
