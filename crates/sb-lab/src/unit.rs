//! A program of a server that is started again when it ends, as systemd would do it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::brake::{Brake, Handover};
use crate::namespace::{self, NetworkNamespace};

/// First pause before a program is started again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A program that ran this long has earned the short pause again.
const STEADY: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// Name in the log.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to the environment.
    pub environment: Vec<(String, String)>,
    /// Where its output is appended.
    pub log: PathBuf,
    /// What slows its syncs down, where there is such a thing.
    pub brake: Option<Brake>,
}

/// Whether a unit's program ought to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It does, and is started again when it ends.
    Run,
    /// It does not, as on a host without power. The unit kills nothing itself.
    Rest,
}

/// A program under supervision. Dropping it ends the supervision, and with it the program.
#[derive(Debug)]
pub struct Unit {
    name: String,
    order: watch::Sender<Order>,
    path: watch::Sender<PathBuf>,
    ended: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Unit {
    /// Starts to supervise a program in a namespace; it is started at the first [`Order::Run`].
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(program: Program, namespace: &NetworkNamespace) -> io::Result<Self> {
        let (order, orders) = watch::channel(Order::Rest);
        let namespace = namespace.handle()?;
        let ended = Arc::new(AtomicU32::new(0));
        let name = program.name.clone();
        let (path, paths) = watch::channel(program.path.clone());
        let orders = Orders { order: orders, path: paths };
        let task = tokio::spawn(supervise(program, namespace, orders, Arc::clone(&ended)));
        Ok(Self { name, order, path, ended, task })
    }

    /// Name of its program.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which file it is started from, from its next start on.
    pub fn replace(&self, path: PathBuf) {
        self.path.send_replace(path);
    }

    /// Says whether it ought to run from now on.
    pub fn order(&self, order: Order) {
        self.order.send_replace(order);
    }

    /// How often its program has ended, or could not be started.
    #[must_use]
    pub fn ended(&self) -> u32 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the supervision is told.
struct Orders {
    order: watch::Receiver<Order>,
    path: watch::Receiver<PathBuf>,
}

async fn supervise(mut program: Program, namespace: std::fs::File, orders: Orders, ended: Arc<AtomicU32>) {
    let Orders { order: mut orders, path } = orders;
    let mut pause = PAUSE_MIN;
    loop {
        if orders.wait_for(|order| *order == Order::Run).await.is_err() {
            return;
        }
        program.path.clone_from(&path.borrow());
        let started = Instant::now();
        match start(&program, &namespace) {
            Ok(mut child) => match child.wait().await {
                Ok(status) => note(&program, &format!("ended: {status}")),
                Err(error) => note(&program, &format!("could not be waited for: {error}")),
            },
            Err(error) => note(&program, &format!("could not be started: {error}")),
        }
        ended.fetch_add(1, Ordering::Relaxed);
        pause = if started.elapsed() > STEADY { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        // A host that comes back starts its programs at once.
        let _ = tokio::time::timeout(pause, orders.wait_for(|order| *order == Order::Rest)).await;
        if *orders.borrow() == Order::Rest {
            pause = PAUSE_MIN;
        }
    }
}

/// Between the program's own lines, where its reader will look.
fn note(program: &Program, what: &str) {
    tracing::info!(program = %program.name, what);
    if let Ok(mut log) = OpenOptions::new().create(true).append(true).open(&program.log) {
        let _ = writeln!(log, "-- {} {what}", program.name);
    }
}

fn start(program: &Program, namespace: &std::fs::File) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(&program.log)?;
    let namespace = namespace.try_clone()?;
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    let handover = program.brake.as_ref().map(|_| Handover::new()).transpose()?.map(Arc::new);
    let in_child = handover.clone();
    // SAFETY: between fork and exec only system calls are made.
    unsafe {
        command.pre_exec(move || {
            // Keys pressed at the lab's terminal are not for servers.
            nix::unistd::setsid()?;
            namespace::enter(namespace.as_fd())?;
            in_child.as_ref().map_or(Ok(()), |handover| handover.brake_this_process())
        });
    }
    let child = command.spawn()?;
    if let (Some(brake), Some(handover)) = (&program.brake, handover) {
        brake.serve(handover.listener()?)?;
    }
    Ok(child)
}
