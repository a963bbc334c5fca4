//! The agent's hold on the guard: one connection that is made again when it breaks, deadlines in order, and every
//! change reported to the failover machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sb_failover::{Armed, BootTime, Event, GuardReport, Processes, Term};
use tokio::sync::{Mutex, Notify, mpsc, watch};

use crate::guard::{
    BootNanos, ConnectLimits, Fallen, GuardClient, GuardClientError, GuardEvents, GuardNotice, GuardStatus,
    Postmaster, Proof, Role, StartSpec, Term as GuardTerm, socket_path,
};
use crate::journal::{Entry, Journal};
use crate::last_resort::LastResort;
use crate::packet_fence::PacketFence;
use crate::teller::Teller;

/// Longest wait for an answer of the guard, in milliseconds. It answers in microseconds or is not scheduled.
pub const GUARD_ANSWER_MS_MAX: u64 = 1_000;

/// Longest wait for one proof that PostgreSQL is gone, in milliseconds; then it is asked for again.
const PROOF_MS_MAX: u64 = 5_000;

/// Pause between two attempts at that proof, in milliseconds.
const PROOF_RETRY_MS: u64 = 200;

/// Longest wait for a word of the guard where PostgreSQL has to end and the guard was silent before, in
/// milliseconds: the deadline has come, so there is no time left to be patient in.
const LAST_WORD_MS_MAX: u64 = 100;

/// Deadlines that may wait to be handed over. The machine renews twice a second, so more means a hung guard.
const DEADLINES_WAITING_MAX: usize = 64;

/// What the guard is told in order.
#[derive(Debug, Clone, Copy)]
enum Deadline {
    Arm { term: Term, fence_at: BootTime },
    Disarm { term: Term },
}

/// The agent's end of the guard, shared by everything that needs it.
#[derive(Debug, Clone)]
pub struct GuardLink {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: watch::Sender<Option<GuardClient>>,
    status: watch::Sender<Option<GuardStatus>>,
    deadlines: mpsc::Sender<Deadline>,
    teller: Arc<Teller>,
    /// Raised by every fence: a start that was asked for before it may not happen after it.
    fences: AtomicU64,
    /// How many fences there were when the operation under way began.
    began_at: AtomicU64,
    /// Held while a start is under way.
    starting: Mutex<()>,
    /// Set while the guard is connected and does not answer.
    silent: AtomicBool,
    last_resort: LastResort,
    /// The fence that was written down last.
    fallen: std::sync::Mutex<Option<Fallen>>,
    journal: Arc<Journal>,
    /// Rung when PostgreSQL's processes have changed.
    changed: Notify,
}

/// The guard did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GuardLinkError {
    /// There is no connection at present.
    #[error("the guard cannot be reached")]
    Missing,
    /// PostgreSQL was fenced after the operation had begun.
    #[error("PostgreSQL was fenced meanwhile")]
    Fenced,
    /// It answered otherwise, or not at all.
    #[error(transparent)]
    Client(#[from] GuardClientError),
}

impl GuardLink {
    /// Begins to hold the connection to the guard in `run_dir`. Reports go to `teller`; `fence` follows the
    /// deadlines; what becomes of the guard itself is told to `journal`.
    #[must_use]
    pub fn spawn(run_dir: PathBuf, teller: Arc<Teller>, fence: PacketFence, journal: Arc<Journal>) -> Self {
        let (deadlines, waiting) = mpsc::channel(DEADLINES_WAITING_MAX);
        let (client, _) = watch::channel(None);
        let (status, _) = watch::channel(None);
        let inner = Inner {
            client,
            status,
            deadlines,
            teller,
            fences: AtomicU64::new(0),
            began_at: AtomicU64::new(0),
            starting: Mutex::new(()),
            silent: AtomicBool::new(false),
            last_resort: LastResort::default(),
            fallen: std::sync::Mutex::new(None),
            journal,
            changed: Notify::new(),
        };
        let link = Self { inner: Arc::new(inner) };
        tokio::spawn(link.clone().hold(run_dir));
        tokio::spawn(link.clone().hand_over(waiting, fence));
        link
    }

    /// Sets the deadline of `term`. Returns at once; the outcome is the next report.
    pub fn arm(&self, term: Term, fence_at: BootTime) {
        self.enqueue(Deadline::Arm { term, fence_at });
    }

    /// Takes the deadline of `term` away. Returns at once; the outcome is the next report.
    pub fn disarm(&self, term: Term) {
        self.enqueue(Deadline::Disarm { term });
    }

    fn enqueue(&self, deadline: Deadline) {
        // Full means that the guard has not answered for many renewals: it keeps the deadline it has, which is
        // the earlier one, so nothing is extended that should not be.
        if self.inner.deadlines.try_send(deadline).is_err() {
            tracing::error!("the guard does not take deadlines; PostgreSQL ends at the last one it took");
        }
    }

    /// The connection.
    ///
    /// # Errors
    /// When there is none at present.
    pub fn client(&self) -> Result<GuardClient, GuardLinkError> {
        self.inner.client.borrow().clone().ok_or(GuardLinkError::Missing)
    }

    /// The guard's last word about itself; [`None`] while it cannot be reached.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Option<GuardStatus>> {
        self.inner.status.subscribe()
    }

    /// Asks how things stand, and reports it.
    ///
    /// # Errors
    /// When the guard does not answer.
    pub async fn refresh(&self) -> Result<GuardStatus, GuardLinkError> {
        loop {
            let epoch = self.inner.teller.epoch().await;
            let status = match self.ask().await {
                Ok(status) => status,
                Err(error) => {
                    self.note_silence(&error);
                    // A guard that does not answer holds no deadline that anybody can count on.
                    self.inner.teller.tell(Event::GuardLost).await;
                    return Err(error);
                }
            };
            self.note_word(&status);
            if self.inner.teller.seen(Event::Guard(report(&status)), epoch).await {
                self.publish(status.clone());
                return Ok(status);
            }
        }
    }

    async fn ask(&self) -> Result<GuardStatus, GuardLinkError> {
        Ok(self.client()?.status(answer()).await?)
    }

    fn note_silence(&self, error: &GuardLinkError) {
        let timed_out = matches!(error, GuardLinkError::Client(GuardClientError::Timeout(_)));
        if timed_out && !self.inner.silent.swap(true, Ordering::SeqCst) {
            let message = "the guard does not answer; the lease is not renewed without it";
            let detail =
                "PostgreSQL ends at the deadline: by the guard, or by the agent, which then ends both.";
            self.inner.journal.record(Entry::new("guard.silent", message).detail(detail));
        }
    }

    fn note_word(&self, status: &GuardStatus) {
        self.inner.last_resort.note_postmaster(status);
        self.note_fallen(status.fallen);
        if self.inner.silent.swap(false, Ordering::SeqCst) {
            self.inner.journal.record(Entry::new("guard.answers", "the guard answers again"));
        }
    }

    /// Writes down a fence that fell, once for each, also when this agent was stopped or not there then.
    fn note_fallen(&self, fallen: Option<Fallen>) {
        let Some(fallen) = fallen else { return };
        let before = self.inner.fallen.lock().expect("nothing panics while it is held").replace(fallen);
        if before == Some(fallen) {
            return;
        }
        let ago = BootNanos::now().since(fallen.deadline).as_millis();
        let took = fallen.gone_at.since(fallen.deadline).as_millis();
        let message = "the guard ended PostgreSQL at the deadline of its lease";
        let detail = format!("The deadline passed {ago} ms ago; {took} ms later nothing was left.");
        self.inner.journal.record(Entry::new("guard.fenced", message).term(fallen.term.get()).detail(detail));
    }

    /// How many fences there were: to be taken when an operation begins.
    #[must_use]
    pub fn fences(&self) -> u64 {
        self.inner.fences.load(Ordering::SeqCst)
    }

    /// Says that the operation which works on PostgreSQL from here on began when there were `fences`.
    pub fn works_since(&self, fences: u64) {
        self.inner.began_at.store(fences, Ordering::SeqCst);
    }

    /// Has the guard start PostgreSQL for the operation under way.
    ///
    /// # Errors
    /// When there was a fence since that began, or the guard refuses or does not answer.
    pub async fn start(&self, spec: StartSpec, within: Duration) -> Result<(), GuardLinkError> {
        let _starting = self.inner.starting.lock().await;
        if self.fences() != self.inner.began_at.load(Ordering::SeqCst) {
            return Err(GuardLinkError::Fenced);
        }
        self.client()?.start(spec, within).await?;
        Ok(())
    }

    /// Kills every process of PostgreSQL and returns when it is proven that none is left and none will come: a start
    /// that was under way is killed too. Tries until that is so.
    pub async fn fence(&self) {
        self.inner.fences.fetch_add(1, Ordering::SeqCst);
        self.kill_all().await;
        let was_starting = self.inner.starting.try_lock().is_err();
        let _starting = self.inner.starting.lock().await;
        if was_starting {
            self.kill_all().await;
        }
        if let Err(error) = self.refresh().await {
            tracing::debug!(%error, "the guard does not say how it is");
        }
    }

    async fn kill_all(&self) {
        loop {
            if self.is_mute().await {
                self.end_both().await;
            }
            match self.proof().await {
                Ok(proof) => {
                    tracing::info!(took_ms = proof.took_ms, "no process of PostgreSQL is left");
                    return;
                }
                Err(error) => tracing::warn!(%error, "no proof yet that PostgreSQL is gone"),
            }
            tokio::time::sleep(Duration::from_millis(PROOF_RETRY_MS)).await;
        }
    }

    /// Whether the guard was silent before and still is.
    async fn is_mute(&self) -> bool {
        if !self.inner.silent.load(Ordering::SeqCst) {
            return false;
        }
        let Ok(client) = self.client() else {
            return false;
        };
        client.status(Duration::from_millis(LAST_WORD_MS_MAX)).await.is_err()
    }

    /// The guard's proof. A guard that has something left to kill says so meanwhile; one that says nothing is not
    /// waited for.
    async fn proof(&self) -> Result<Proof, GuardLinkError> {
        let client = self.client()?;
        let killed = client.kill_all(Duration::from_millis(PROOF_MS_MAX));
        let silence = async {
            loop {
                tokio::time::sleep(Duration::from_millis(PROOF_RETRY_MS)).await;
                if let Err(error) = client.status(answer()).await {
                    return error;
                }
            }
        };
        tokio::select! {
            biased;
            killed = killed => Ok(killed?),
            error = silence => {
                let error = GuardLinkError::from(error);
                self.note_silence(&error);
                Err(error)
            }
        }
    }

    async fn end_both(&self) {
        let ended = self.inner.last_resort.end_both().await;
        if let Some(pid) = ended.guard {
            let message = "the guard hung when PostgreSQL had to end: the agent has ended both";
            let detail = format!("It was process {pid}. The next guard proves that nothing is left.");
            self.inner.journal.record(Entry::new("guard.ended", message).detail(detail));
        }
    }

    /// Returns when PostgreSQL's processes may have changed since the last call.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Waits until no process of PostgreSQL is left.
    ///
    /// # Errors
    /// When the guard does not answer. Bound it in time: it waits as long as a process lives.
    pub async fn gone(&self) -> Result<(), GuardLinkError> {
        let mut status = self.status();
        loop {
            if processes(&self.refresh().await?) == Processes::Gone {
                return Ok(());
            }
            // The own question is no news.
            status.borrow_and_update();
            let _ = tokio::time::timeout(Duration::from_millis(100), status.changed()).await;
        }
    }

    fn publish(&self, status: GuardStatus) {
        let (postmaster, descendants) = (status.postmaster, status.descendants);
        let before = self.inner.status.send_replace(Some(status));
        if before.map(|s| (s.postmaster, s.descendants)) != Some((postmaster, descendants)) {
            self.inner.changed.notify_one();
        }
    }

    async fn hold(self, run_dir: PathBuf) {
        let path = socket_path(&run_dir);
        let mut missed = false;
        loop {
            let limits = ConnectLimits { attempts_max: 1, pause: Duration::ZERO };
            match GuardClient::connect(&path, limits).await {
                Ok((client, notices)) => {
                    self.inner.last_resort.note_guard(&client);
                    self.inner.client.send_replace(Some(client));
                    if std::mem::take(&mut missed) {
                        self.inner.journal.record(Entry::new("guard.found", "there is a guard again"));
                    }
                    self.listen(notices).await;
                    self.inner.client.send_replace(None);
                    self.inner.status.send_replace(None);
                    self.inner.silent.store(false, Ordering::SeqCst);
                    self.inner.teller.tell(Event::GuardLost).await;
                    self.inner.changed.notify_one();
                    let message =
                        "the connection to the guard is lost; if it has ended, PostgreSQL ends with it";
                    self.inner.journal.record(Entry::new("guard.lost", message));
                    missed = true;
                }
                Err(error) => tracing::debug!(%error, "the guard cannot be reached"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn listen(&self, mut notices: GuardEvents) {
        loop {
            match self.refresh().await {
                Ok(_) => {}
                // It is stopped, hangs or is not scheduled: another connection would have no other end.
                Err(GuardLinkError::Client(GuardClientError::Timeout(_))) => {
                    tokio::time::sleep(Duration::from_millis(PROOF_RETRY_MS)).await;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "the guard does not say how it is");
                    return;
                }
            }
            match notices.next().await {
                GuardNotice::Event(event) => tracing::info!(?event, "word from the guard"),
                GuardNotice::Disconnected => return,
            }
        }
    }

    async fn hand_over(self, mut waiting: mpsc::Receiver<Deadline>, fence: PacketFence) {
        while let Some(deadline) = waiting.recv().await {
            let told = match deadline {
                Deadline::Arm { term, fence_at } => self.tell_arm(term, fence_at).await,
                Deadline::Disarm { term } => self.tell_disarm(term).await,
            };
            let refreshed = self.refresh().await;
            match (told, deadline) {
                (Ok(()), Deadline::Arm { fence_at, .. }) => fence.until(fence_at),
                (Ok(()), Deadline::Disarm { .. }) => {
                    if refreshed.is_ok_and(|status| status.role == Some(Role::Standby)) {
                        fence.open_for_standby().await;
                    }
                }
                (Err(error), _) => tracing::warn!(%error, ?deadline, "the guard did not take a deadline"),
            }
        }
    }

    async fn tell_arm(&self, term: Term, fence_at: BootTime) -> Result<(), GuardLinkError> {
        let nanos = u64::try_from(fence_at.as_duration().as_nanos()).unwrap_or(u64::MAX);
        let client = self.client()?;
        Ok(client.arm(guard_term(term), BootNanos::from_nanos(nanos), answer()).await?)
    }

    async fn tell_disarm(&self, term: Term) -> Result<(), GuardLinkError> {
        Ok(self.client()?.disarm(guard_term(term), answer()).await?)
    }
}

/// The guard's own word for a term.
#[must_use]
pub fn guard_term(term: Term) -> GuardTerm {
    GuardTerm::from(term.get())
}

/// [`GUARD_ANSWER_MS_MAX`] as a duration.
#[must_use]
pub const fn answer() -> Duration {
    Duration::from_millis(GUARD_ANSWER_MS_MAX)
}

/// Whether any process of PostgreSQL may be left.
#[must_use]
pub fn processes(status: &GuardStatus) -> Processes {
    match (status.postmaster, status.descendants) {
        (Postmaster::Absent, 0) => Processes::Gone,
        _ => Processes::Running,
    }
}

fn report(status: &GuardStatus) -> GuardReport {
    let armed = status.armed.map(|armed| Armed {
        term: Term::new(armed.term.get()),
        fence_at: BootTime::since_boot(Duration::from_nanos(armed.fence_at.as_nanos())),
    });
    GuardReport { armed, processes: processes(status) }
}
