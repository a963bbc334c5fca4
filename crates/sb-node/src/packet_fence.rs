//! The agent's hand on the kernel's fence: it follows the guard's deadline, keeps out of the way of a standby, and is
//! never silently missing. Nothing that fences waits for it.

use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use sb_failover::BootTime;
use tokio::sync::{Mutex, watch};

use crate::boottime;
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
    /// An earlier run of the agent may have left rules in place.
    Unknown,
}

/// The kernel's fence for one PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PacketFence {
    fence: Arc<Mutex<Option<KernelFence>>>,
    seen: Arc<StdMutex<Seen>>,
    deadline: watch::Sender<Option<BootTime>>,
}

#[derive(Debug)]
struct Seen {
    passage: Passage,
    trouble: Option<String>,
}

impl PacketFence {
    /// Looks whether this machine can have the fence for PostgreSQL's `port`, and begins to follow deadlines. A witness has
    /// no such port, and nothing is done to its packets.
    pub async fn open(port: Option<u16>) -> Self {
        let (fence, trouble) = match port {
            None => (None, None),
            Some(port) => Self::look(port).await,
        };
        if let Some(reason) = &trouble {
            tracing::warn!(%reason, "the kernel's fence cannot be had; the guard's stands alone");
        }
        let passage = if fence.is_some() { Passage::Unknown } else { Passage::Free };
        let (deadline, deadlines) = watch::channel(None);
        let seen = Arc::new(StdMutex::new(Seen { passage, trouble }));
        let packets = Self { fence: Arc::new(Mutex::new(fence)), seen, deadline };
        tokio::spawn(packets.clone().follow(deadlines));
        packets
    }

    async fn look(port: u16) -> (Option<KernelFence>, Option<String>) {
        match KernelFence::probe().await {
            Availability::Available => match KernelFence::new(port) {
                Ok(fence) => (Some(fence), None),
                Err(error) => (None, Some(error.to_string())),
            },
            Availability::Unavailable { reason } => (None, Some(reason)),
        }
    }

    /// Lets packets pass until `fence_at`, soon. Returns at once.
    pub fn until(&self, fence_at: BootTime) {
        self.deadline.send_replace(Some(fence_at));
    }

    /// Stops packets now, where rules may be installed.
    pub async fn close(&self) {
        self.deadline.send_replace(None);
        let mut fence = self.fence.lock().await;
        let installed = match self.passage() {
            Passage::Leased | Passage::Closed | Passage::Unknown => fence.as_mut(),
            Passage::Free => None,
        };
        match installed.map(KernelFence::close) {
            // Where no rules were left behind there is nothing to close.
            Some(Err(_)) if self.passage() == Passage::Unknown => {}
            Some(closed) => self.note(Passage::Closed, closed),
            None => {}
        }
    }

    /// Lets every packet pass: PostgreSQL is a standby.
    pub async fn open_for_standby(&self) {
        self.deadline.send_replace(None);
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

    async fn follow(self, mut deadlines: watch::Receiver<Option<BootTime>>) {
        while deadlines.changed().await.is_ok() {
            let mut fence = self.fence.lock().await;
            // Read under the lock: whoever closed or opened it meanwhile has taken the deadline away.
            let newest = *deadlines.borrow_and_update();
            if let (Some(fence), Some(fence_at)) = (fence.as_mut(), newest) {
                self.renew(fence, fence_at.since(boottime::now())).await;
            }
        }
    }

    async fn renew(&self, fence: &mut KernelFence, remaining: Duration) {
        let installed = match self.passage() {
            Passage::Leased | Passage::Closed => Ok(()),
            Passage::Free | Passage::Unknown => fence.install_for_primary().await,
        };
        let renewed = installed.and_then(|()| fence.renew(remaining));
        self.note(Passage::Leased, renewed);
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
