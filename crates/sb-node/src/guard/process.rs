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
use super::config::{CLIENTS_MAX, GuardConfig, GuardError, GuardExit};
use super::ending::Killing;
use super::launch_report::{Report, read_report};
use super::ledger::{Ledger, Life};
use super::log;
use super::messages::{Degradation, GuardReply, Postmaster, PostmasterExit, Refusal, StopMode};
use super::privileges;
use super::reaper::Reaper;
use super::watchdog::Watchdog;

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
    pub(super) killing: Option<Killing>,
    pub(super) exit: Option<PostmasterExit>,
    pub(super) duty: Duty,
    alarm: Alarm,
    signals: SignalFd,
    shutdown_grace: Duration,
    /// Held for as long as the guard lives.
    _lock: Flock<File>,
}

/// Whether what happens concerns anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// The guard ends a process of its own making.
    Drill,
    /// It is about PostgreSQL.
    Service,
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

impl Guard {
    /// Takes what it needs from the system, ends what a former guard left, and listens.
    pub(super) fn begin(config: &GuardConfig) -> Result<Self, GuardError> {
        let lock = lock(config)?;
        let signals = take_signals()?;
        let mut degraded = privileges::take()?;
        let reaper = Reaper::make(&config.run_dir, &mut degraded)?;
        let mut guard = Self {
            ledger: Ledger::new(),
            reaper,
            clients: Clients::bind(config)?,
            child: None,
            degraded,
            watchdog: config.watchdog.clone().map(Watchdog::new),
            waiting_for_proof: [None; CLIENTS_MAX],
            terminating: None,
            killing: None,
            exit: None,
            duty: Duty::Drill,
            alarm: Alarm::new()?,
            signals,
            shutdown_grace: config.shutdown_grace,
            _lock: lock,
        };
        guard.drill()?;
        guard.clients.listen()?;
        Ok(guard)
    }

    /// Serves until it is terminated and nothing is left.
    pub(super) fn serve(&mut self) -> GuardExit {
        while self.terminating.is_none() || self.ledger.life() != Life::Gone {
            self.turn();
        }
        GuardExit::Terminated
    }

    /// Waits for one thing to happen, and serves it.
    pub(super) fn turn(&mut self) {
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
        // A socket that does not listen yet has always hung up.
        let listener = if self.duty == Duty::Service { self.clients.listener() } else { -1 };
        ready[LISTENER] = entry(listener);
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
        if self.ledger.expire(now).is_some() {
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

    pub(super) fn on_report(&mut self) {
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
}

fn is_ready(ready: &Ready, index: usize) -> bool {
    ready[index].revents != 0
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
