//! The guard's loop: wait for the clock, the kernel, the child or a client; time is always served first.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::alarm::Alarm;
use super::clients::{ClientToken, Clients};
use super::clock::BootNanos;
use super::config::{CLIENTS_MAX, GuardConfig, GuardError, GuardExit, QUIT_TO_KILL_MS};
use super::launch::{Report, read_report};
use super::ledger::{Ledger, Life};
use super::log;
use super::messages::{
    Degradation, GuardEvent, GuardReply, Postmaster, PostmasterExit, Proof, Refusal, StopMode, Term,
};
use super::privileges;
use super::reaper::{Left, Reaper};
use super::watchdog::Watchdog;

/// Between two rounds of killing, while something lives.
const KILL_ROUND_MS: u64 = 5;
/// Rounds at that pace; after them something hangs in the kernel and the guard looks less often.
const QUICK_ROUNDS_MAX: u32 = 200;
/// Between two rounds then.
const SLOW_ROUND_MS: u64 = 50;

const TIMER: usize = 0;
const SIGNALS: usize = 1;
const LISTENER: usize = 2;
const REPORT: usize = 3;
const FIRST_CLIENT: usize = 4;
type Ready = [libc::pollfd; FIRST_CLIENT + CLIENTS_MAX];

/// Everything the guard has; made once, never grown.
pub(super) struct Guard {
    pub(super) ledger: Ledger,
    pub(super) reaper: Reaper,
    pub(super) clients: Clients,
    pub(super) child: Option<Child>,
    pub(super) degraded: Vec<Degradation>,
    pub(super) watchdog: Option<Watchdog>,
    /// Who waits for the proof, one place a connection.
    pub(super) waiting_for_proof: [Option<Waiter>; CLIENTS_MAX],
    pub(super) terminating: Option<Termination>,
    killing: Option<Killing>,
    fence: Option<Fence>,
    exit: Option<PostmasterExit>,
    alarm: Alarm,
    signals: SignalFd,
    shutdown_grace: Duration,
    /// Held for as long as the guard lives.
    _lock: Flock<File>,
}

/// The postmaster.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) start: Option<Start>,
    /// Why the program did not come to run; said when the child has ended.
    pub(super) refusal: Option<Refusal>,
}

/// A start that is under way.
pub(super) struct Start {
    pub(super) client: ClientToken,
    pub(super) id: u64,
    pub(super) report: OwnedFd,
    pub(super) leftovers_killed: u32,
}

/// A client that waits for the proof.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) client: ClientToken,
    pub(super) id: u64,
    pub(super) since: BootNanos,
}

/// The guard was told to end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Termination {
    kill_at: BootNanos,
}

/// Descendants are being ended.
struct Killing {
    next_round: BootNanos,
    rounds: u32,
    /// Alive right after they were told.
    found: u32,
}

/// The deadline has passed.
struct Fence {
    deadline: BootNanos,
}

impl Guard {
    /// Takes what it needs from the system, ends what a former guard left, and listens.
    pub(super) fn begin(config: &GuardConfig) -> Result<Self, GuardError> {
        let lock = lock(config)?;
        let signals = take_signals()?;
        let mut degraded = privileges::take()?;
        let reaper = Reaper::make(&config.run_dir, &mut degraded)?;
        Ok(Self {
            ledger: Ledger::new(),
            reaper,
            clients: Clients::listen(config)?,
            child: None,
            degraded,
            watchdog: config.watchdog.clone().map(Watchdog::new),
            waiting_for_proof: [None; CLIENTS_MAX],
            terminating: None,
            killing: None,
            fence: None,
            exit: None,
            alarm: Alarm::new()?,
            signals,
            shutdown_grace: config.shutdown_grace,
            _lock: lock,
        })
    }

    /// Serves until it is terminated and nothing is left.
    pub(super) fn serve(&mut self) -> GuardExit {
        loop {
            self.alarm.set(self.next_wakeup());
            let ready = self.wait();
            self.on_time(BootNanos::now());
            if is_ready(&ready, SIGNALS) {
                self.on_signals();
            }
            if is_ready(&ready, REPORT) {
                self.on_report();
            }
            for slot in (0..CLIENTS_MAX).filter(|slot| is_ready(&ready, FIRST_CLIENT + slot)) {
                // What one client asks for may take a while; the deadline does not wait for the others.
                self.on_time(BootNanos::now());
                self.on_client(slot);
            }
            if is_ready(&ready, LISTENER) {
                self.clients.accept();
            }
            if self.terminating.is_some() && self.ledger.life() == Life::Gone {
                return GuardExit::Terminated;
            }
        }
    }

    /// Ends every descendant: asked at once, killed a little later.
    pub(super) fn begin_killing(&mut self, now: BootNanos) {
        if self.killing.is_none() {
            let mut next_round = now;
            if let Some(Child { pid, start: None, .. }) = self.child {
                self.reaper.quit(pid);
                next_round = now.plus(Duration::from_millis(QUIT_TO_KILL_MS));
            }
            let found = self.reaper.count();
            self.ledger.ending();
            self.killing = Some(Killing { next_round, rounds: 0, found });
        }
        self.reap();
        self.kill_if_due(BootNanos::now());
    }

    /// Signals a running postmaster.
    pub(super) fn stop(&self, mode: StopMode) -> Result<(), Refusal> {
        let signal = match mode {
            StopMode::Smart => Signal::SIGTERM,
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        };
        let child = self.child.as_ref().filter(|_| matches!(self.ledger.life(), Life::Running(_)));
        // It is not reaped before the guard has seen it end, so the number is still its own.
        child.and_then(|child| kill(child.pid, signal).ok()).ok_or(Refusal::NotRunning)
    }

    /// The postmaster, as a client is told.
    pub(super) fn postmaster(&self) -> Postmaster {
        match (self.ledger.life(), &self.child) {
            (Life::Gone, _) => Postmaster::Absent,
            (Life::Starting(_), Some(child)) => {
                Postmaster::Starting { pid: child.pid.as_raw().unsigned_abs() }
            }
            (Life::Running(_), Some(child)) => Postmaster::Running { pid: child.pid.as_raw().unsigned_abs() },
            (Life::Starting(_) | Life::Running(_), None) | (Life::Ending, _) => Postmaster::Ending,
        }
    }

    fn next_wakeup(&self) -> Option<BootNanos> {
        let deadline = self.ledger.armed().map(|armed| armed.fence_at);
        let round = self.killing.as_ref().map(|killing| killing.next_round);
        let termination =
            self.terminating.filter(|_| self.killing.is_none()).map(|termination| termination.kill_at);
        let pet = self.watchdog.as_ref().and_then(|watchdog| watchdog.next_pet(self.ledger.armed()));
        [deadline, round, termination, pet].into_iter().flatten().min()
    }

    /// The pipe of a start that has not said how it went.
    fn report(&self) -> Option<RawFd> {
        let starting = matches!(self.ledger.life(), Life::Starting(_));
        let child = self.child.as_ref().filter(|child| starting && child.refusal.is_none())?;
        child.start.as_ref().map(|start| start.report.as_raw_fd())
    }

    fn wait(&mut self) -> Ready {
        let entry = |fd: RawFd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut ready: Ready = [entry(-1); FIRST_CLIENT + CLIENTS_MAX];
        ready[TIMER] = entry(self.alarm.descriptor());
        ready[SIGNALS] = entry(self.signals.as_raw_fd());
        ready[LISTENER] = entry(self.clients.listener());
        ready[REPORT] = entry(self.report().unwrap_or(-1));
        for slot in 0..CLIENTS_MAX {
            ready[FIRST_CLIENT + slot] = entry(self.clients.descriptor(slot));
        }
        // SAFETY: pointer and length are those of one array of `pollfd`.
        let outcome = unsafe { libc::poll(ready.as_mut_ptr(), ready.len() as libc::nfds_t, -1) };
        if outcome < 0 {
            // Interrupted, or short of kernel memory: time is served all the same, and the next wait tells.
            ready = [entry(-1); FIRST_CLIENT + CLIENTS_MAX];
        }
        if is_ready(&ready, TIMER) {
            self.alarm.rang();
        }
        ready
    }

    /// What time brings: the deadline before all else.
    fn on_time(&mut self, now: BootNanos) {
        let deadline = self.ledger.armed().map(|armed| armed.fence_at);
        if let (Some(_), Some(deadline)) = (self.ledger.expire(now), deadline) {
            self.fence = Some(Fence { deadline });
            self.begin_killing(now);
        }
        if self.terminating.is_some_and(|termination| termination.kill_at <= now)
            && self.ledger.life() != Life::Gone
        {
            self.begin_killing(now);
        }
        self.kill_if_due(now);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.on_time(self.ledger.armed(), now, &mut self.degraded);
        }
    }

    fn kill_if_due(&mut self, now: BootNanos) {
        let Some(killing) = self.killing.as_mut().filter(|killing| killing.next_round <= now) else { return };
        killing.rounds += 1;
        let pause = if killing.rounds <= QUICK_ROUNDS_MAX { KILL_ROUND_MS } else { SLOW_ROUND_MS };
        self.reaper.kill_all();
        killing.next_round = BootNanos::now().plus(Duration::from_millis(pause));
        self.reap();
    }

    fn on_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if matches!(Signal::try_from(number), Ok(Signal::SIGTERM | Signal::SIGINT)) {
                self.terminate();
            }
        }
        self.reap();
    }

    fn terminate(&mut self) {
        if self.terminating.is_some() {
            return;
        }
        log::info(format_args!("terminated: stopping PostgreSQL"));
        let now = BootNanos::now();
        self.terminating = Some(Termination { kill_at: now.plus(self.shutdown_grace) });
        if self.stop(StopMode::Fast).is_err() && self.ledger.life() != Life::Gone {
            self.begin_killing(now);
        }
    }

    fn on_report(&mut self) {
        // A child that is being killed on the way closes its end as well; it is answered when it is gone.
        if !matches!(self.ledger.life(), Life::Starting(_)) {
            return;
        }
        let Some(child) = self.child.as_mut().filter(|child| child.refusal.is_none()) else { return };
        let Some(start) = &mut child.start else { return };
        match read_report(&start.report, &mut start.leftovers_killed) {
            Report::Pending => {}
            Report::Runs { leftovers_killed } => {
                let (client, id, pid) = (start.client, start.id, child.pid.as_raw().unsigned_abs());
                child.start = None;
                self.ledger.runs();
                log::info(format_args!("PostgreSQL runs as process {pid}"));
                self.clients.reply(client, id, GuardReply::Started { pid, leftovers_killed });
            }
            Report::Failed(refusal) => {
                log::warn(format_args!("{refusal}"));
                child.refusal = Some(refusal);
            }
        }
    }

    /// Collects the dead, and acts on who is left.
    fn reap(&mut self) {
        let left = self.reaper.reap(self.child.as_ref().map(|child| child.pid), &mut self.exit);
        if self.exit.is_some() && matches!(self.ledger.life(), Life::Starting(_)) {
            // Its last word is in the pipe, and may be that the program ran.
            self.on_report();
        }
        match left {
            Left::Nobody => self.nobody_is_left(),
            Left::Somebody => {
                if self.exit.is_some() && self.killing.is_none() {
                    // Without a postmaster its backends serve no purpose, and some would go on for a while.
                    let found = self.reaper.count();
                    self.ledger.ending();
                    self.killing = Some(Killing { next_round: BootNanos::now(), rounds: 0, found });
                }
            }
        }
    }

    /// The proof: tell who waits for it.
    fn nobody_is_left(&mut self) {
        if self.ledger.life() == Life::Gone && self.child.is_none() && self.ledger_is_quiet() {
            return;
        }
        let now = BootNanos::now();
        let fenced = self.ledger.gone();
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.rest();
        }
        let found = self.killing.take().map_or(0, |killing| killing.found);
        let (child, exit) = (self.child.take(), self.exit.take());
        self.tell_exit(child, exit, found);
        if let (Some(term), Some(fence)) = (fenced, self.fence.take()) {
            self.tell_fenced(term, found, now.since(fence.deadline));
        }
        for waiter in std::mem::take(&mut self.waiting_for_proof).into_iter().flatten() {
            let proof = Proof { descendants: 0, took_ms: millis(now.since(waiter.since)) };
            self.clients.reply(waiter.client, waiter.id, GuardReply::Proof(proof));
        }
    }

    fn ledger_is_quiet(&self) -> bool {
        self.fence.is_none() && self.killing.is_none() && self.waiting_for_proof.iter().all(Option::is_none)
    }

    fn tell_fenced(&mut self, term: Term, killed: u32, took: Duration) {
        let event = GuardEvent::Fenced { term, killed, took_ms: millis(took) };
        self.clients.broadcast(&event);
        log::warn(format_args!("the deadline of term {term} passed: {killed} processes ended in {took:?}"));
    }

    fn tell_exit(&mut self, child: Option<Child>, exit: Option<PostmasterExit>, found: u32) {
        let Some(child) = child else { return };
        match (child.start, child.refusal, exit) {
            (Some(start), refusal, _) => {
                let refusal = refusal.unwrap_or(Refusal::StartFailed {
                    step: "could not reach the program".to_owned(),
                    reason: "killed on the way".to_owned(),
                });
                self.clients.reply(start.client, start.id, GuardReply::Refused(refusal));
            }
            (None, _, Some(status)) => {
                self.clients.broadcast(&GuardEvent::PostmasterExited { status, stragglers_killed: found });
                log::info(format_args!("PostgreSQL ended: {status:?}"));
            }
            (None, _, None) => {}
        }
    }
}

fn is_ready(ready: &Ready, index: usize) -> bool {
    ready[index].revents != 0
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// One guard a run directory: two would each be sure that nothing is left.
fn lock(config: &GuardConfig) -> Result<Flock<File>, GuardError> {
    let path = config.run_dir.join("guard.lock");
    let file = File::options().create(true).write(true).truncate(false).open(&path);
    let file = file.map_err(|source| GuardError::RunDir { path: path.clone(), source })?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EAGAIN => GuardError::AlreadyRunning { run_dir: config.run_dir.clone() },
        errno => GuardError::RunDir { path, source: errno.into() },
    })
}

/// Signals become something to poll for. A lost terminal must not end the guard, so `SIGHUP` is among them.
fn take_signals() -> Result<SignalFd, GuardError> {
    let system = |errno: Errno| GuardError::System { action: "take signals", source: io::Error::from(errno) };
    let signals: SigSet =
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().map_err(system)?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(system)
}
