//! The trace of the failover machine on disk: every input, so that a failover can be played again.
//!
//! Files `trace/NUMBER.sbtrace`, each a segment of [`sb_failover::trace`]. A thread of its own writes them: what the
//! disk does not take in time is left out, the segment ends, and the next one says how many steps are missing. The
//! machine never waits for it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use sb_failover::trace::{Follows, Recorder};
use sb_failover::{BootTime, Command, Event, Machine};

/// Size at which a segment ends. The last step may pass it.
pub const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What all segments together may take on the disk, beside the one that is being written; the oldest goes first.
pub const TRACE_BYTES_MAX: u64 = 48 * 1024 * 1024;

/// How many segments are kept: an agent that starts again and again makes small ones. Their bytes are the bound that counts.
pub const SEGMENTS_MAX: usize = 4096;

/// Steps that may wait for the disk.
const STEPS_WAITING_MAX: usize = 256;

/// Pause before another segment is begun after the disk did not take one, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// How long the end of a run waits for what is still to be written, in milliseconds: a disk that hangs takes nothing.
const DRAIN_MS_MAX: u64 = 500;

/// How the name of a segment's file ends.
pub const EXTENSION: &str = "sbtrace";

/// Something for the thread that writes.
enum Piece {
    Begin(Vec<u8>),
    Step(Vec<u8>),
}

/// Records a machine's calls. Bounded in memory, in time and on disk.
pub struct Trace {
    segment: Option<Recorder>,
    segment_bytes_max: u64,
    /// Bytes of the segment so far.
    bytes: u64,
    /// Steps since the last segment that are in none.
    missing: u64,
    follows: Follows,
    retry_at: BootTime,
    pieces: Option<SyncSender<Piece>>,
    broken: Arc<AtomicBool>,
    /// Hangs up when the thread has written everything.
    written: Receiver<()>,
}

impl Trace {
    /// Writes to `directory`, which is made when it is missing. One that cannot be used costs the trace, not the agent.
    #[must_use]
    pub fn open(directory: &Path) -> Self {
        Self::with_segments_of(directory, SEGMENT_BYTES_MAX)
    }

    fn with_segments_of(directory: &Path, segment_bytes_max: u64) -> Self {
        let (pieces, waiting) = sync_channel(STEPS_WAITING_MAX);
        let (writing, written) = sync_channel(0);
        let broken = Arc::new(AtomicBool::new(false));
        let writer =
            Writer { directory: directory.to_owned(), file: None, broken: broken.clone(), failed: false };
        let work = move || {
            writer.run(&waiting);
            drop(writing);
        };
        let thread = std::thread::Builder::new().name("trace".into()).spawn(work);
        if let Err(error) = &thread {
            tracing::warn!(%error, "the failover machine is not traced");
        }
        Self {
            segment: None,
            segment_bytes_max,
            bytes: 0,
            missing: 0,
            follows: Follows::Start,
            retry_at: BootTime::default(),
            pieces: thread.is_ok().then_some(pieces),
            broken,
            written,
        }
    }

    /// The machine, between two steps, is about to be given this event.
    pub fn event(&mut self, machine: &Machine, event: &Event, now: BootTime) {
        if self.broken.swap(false, Ordering::Relaxed) {
            self.lose(now);
        }
        if self.bytes >= self.segment_bytes_max {
            self.segment = None;
        }
        if self.segment.is_none() && now >= self.retry_at {
            self.begin(machine, now);
        }
        match &mut self.segment {
            Some(segment) => segment.event(event, now),
            None => self.missing += 1,
        }
    }

    /// The machine has given this command.
    pub fn command(&mut self, command: &Command) {
        if let Some(segment) = &mut self.segment {
            segment.command(command);
        }
    }

    /// The machine has given all its commands.
    pub fn end(&mut self, machine: &Machine, now: BootTime) {
        let Some(segment) = &mut self.segment else {
            return;
        };
        let step = segment.end(machine);
        let length = step.as_ref().map_or(0, Vec::len) as u64;
        if step.is_some_and(|step| self.send(Piece::Step(step))) {
            self.bytes += length;
        } else {
            self.missing += 1;
            self.lose(now);
        }
    }

    fn begin(&mut self, machine: &Machine, now: BootTime) {
        let follows = match (self.follows, self.missing) {
            (Follows::Start, _) => Follows::Start,
            (_, 0) => Follows::Continues,
            (_, steps) => Follows::Gap { steps },
        };
        let begun = Recorder::begin(machine, follows, crate::operations::now(), now);
        let Some((segment, bytes)) = begun else {
            return self.lose(now);
        };
        let length = bytes.len() as u64;
        if !self.send(Piece::Begin(bytes)) {
            return self.lose(now);
        }
        (self.segment, self.bytes, self.missing, self.follows) =
            (Some(segment), length, 0, Follows::Continues);
    }

    /// The segment ends here, with a gap behind it.
    fn lose(&mut self, now: BootTime) {
        if self.segment.take().is_some() {
            tracing::warn!("the trace of the failover machine has a gap: the disk does not take it");
        }
        self.missing = self.missing.max(1);
        self.retry_at = now + Duration::from_millis(RETRY_MS);
    }

    fn send(&self, piece: Piece) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.try_send(piece).is_ok())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // The one input that is wanted most has no end.
        if std::thread::panicking()
            && let Some(step) = self.segment.as_mut().and_then(Recorder::panicked)
        {
            self.send(Piece::Step(step));
        }
        self.pieces = None;
        // Nothing is ever sent: what ends the wait is the end of the thread, or the time.
        let _ = self.written.recv_timeout(Duration::from_millis(DRAIN_MS_MAX));
    }
}

/// The files, as their thread has them.
struct Writer {
    directory: PathBuf,
    file: Option<File>,
    broken: Arc<AtomicBool>,
    /// The segment before is not whole: the next one's number leaves one out, so that nobody compares the two.
    failed: bool,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Piece>) {
        for piece in waiting {
            let written = match piece {
                Piece::Begin(bytes) => self.begin(&bytes),
                Piece::Step(bytes) => self.write(&bytes),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "could not write the trace");
                (self.file, self.failed) = (None, true);
                self.broken.store(true, Ordering::Relaxed);
            }
        }
    }

    fn begin(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file = None;
        // Names, addresses and positions are for whoever may read the state directory.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let present = segments(&self.directory)?;
        let next = present.last().map_or(1, |(number, _)| number + 1) + u64::from(self.failed);
        let path = self.directory.join(format!("{next:08}.{EXTENSION}"));
        let mut file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path)?;
        if let Err(error) = file.write_all(bytes) {
            // One that says nothing must not push out one that does.
            fs::remove_file(&path)?;
            return Err(error);
        }
        (self.file, self.failed) = (Some(file), false);
        remove_oldest(&present);
        Ok(())
    }

    /// After a failure the rest of the segment is passed over: it would not fit to what is missing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
    }
}

/// What cannot be removed is not ours, or will be another time.
fn remove_oldest(present: &[(u64, PathBuf)]) {
    let mut bytes = 0;
    for (newer, (_, path)) in present.iter().rev().enumerate() {
        bytes += fs::symlink_metadata(path).map_or(0, |data| data.len());
        if (bytes > TRACE_BYTES_MAX || newer + 1 >= SEGMENTS_MAX)
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(%error, path = %path.display(), "could not remove an old segment of the trace");
        }
    }
}

/// The segments of a directory, the oldest first, with their numbers.
///
/// # Errors
/// When the directory cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == EXTENSION)) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use sb_failover::record::Member;
    use sb_failover::{
        Config, DataDirectory, Founding, GuardReport, Incarnation, Observation, Persisted, Processes, Role,
        Session, Timings,
    };
    use sb_topology::{ServerName, SiteName};

    use super::*;
    use crate::replay::{Form, ReplayError, Shown, Summary, replay};
    use std::os::unix::fs::PermissionsExt;

    fn at(milliseconds: u64) -> BootTime {
        BootTime::since_boot(Duration::from_millis(milliseconds))
    }

    fn machine() -> Machine {
        machine_with(Timings::default())
    }

    fn machine_with(timings: Timings) -> Machine {
        let member = Member {
            incarnation: Incarnation::new(1),
            site: SiteName::new("ravena").unwrap(),
            priority: 0,
            promotable: true,
            sync_eligible: true,
        };
        let config = Config {
            me: ServerName::new("ravena-1").unwrap(),
            member,
            session: Session::new(1),
            founding: Founding::Joiner,
            timings,
        };
        Machine::new(config, Persisted::default(), at(0))
    }

    /// Gives the machine nothing but time, from `from` on.
    fn tick(trace: &mut Trace, machine: &mut Machine, from: u64, steps: u64) {
        for step in 0..steps {
            let now = at(from + step * 100);
            trace.event(machine, &Event::Timeout, now);
            machine.handle(Event::Timeout, now);
            while let Some(command) = machine.poll_command() {
                trace.command(&command);
            }
            trace.end(machine, now);
        }
    }

    fn played(path: &Path) -> Result<Summary, ReplayError> {
        replay(path, Shown::default(), Form::Text, &mut Vec::new())
    }

    #[test]
    fn what_was_traced_replays_over_segments_and_runs() {
        let dir = tempfile::tempdir().unwrap();
        for run in 0..2 {
            let mut trace = Trace::with_segments_of(dir.path(), 2_000);
            tick(&mut trace, &mut machine(), run * 1_000_000, 200);
            close(trace);
        }
        let summary = played(dir.path()).unwrap();
        assert!(summary.segments > 4, "{summary:?}");
        assert_eq!((summary.steps + summary.missing, summary.torn), (400, 0));
    }

    #[test]
    fn a_trace_cut_by_a_kill_replays_up_to_there() {
        let dir = tempfile::tempdir().unwrap();
        drop_after(dir.path(), 50);
        let (_, path) = segments(dir.path()).unwrap().pop().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        drop_after(dir.path(), 10);

        let summary = played(dir.path()).unwrap();
        assert_eq!((summary.segments, summary.steps, summary.torn), (2, 59, 1));
    }

    fn drop_after(directory: &Path, steps: u64) {
        let mut trace = Trace::open(directory);
        tick(&mut trace, &mut machine(), 0, steps);
        close(trace);
    }

    /// Waits until everything is written, however long this machine takes.
    fn close(mut trace: Trace) {
        trace.pieces = None;
        assert!(trace.written.recv().is_err(), "it hangs up");
    }

    #[test]
    fn a_directory_that_cannot_be_used_costs_steps_and_says_how_many() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("trace");
        fs::write(&place, "a file").unwrap();
        let mut trace = Trace::open(&place);
        let mut machine = machine();
        tick(&mut trace, &mut machine, 0, 1);
        while !trace.broken.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        tick(&mut trace, &mut machine, 100, 9);
        fs::remove_file(&place).unwrap();
        tick(&mut trace, &mut machine, 100_000, 5);
        close(trace);

        let summary = played(&place).unwrap();
        assert_eq!((summary.segments, summary.steps, summary.missing), (1, 5, 10));
    }

    #[test]
    fn the_oldest_segments_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=SEGMENTS_MAX + 20 {
            fs::write(dir.path().join(format!("{number:08}.{EXTENSION}")), b"old").unwrap();
        }
        drop_after(dir.path(), 1);

        let left = segments(dir.path()).unwrap();
        assert_eq!(left.len(), SEGMENTS_MAX);
        assert_eq!(left.last().map(|(number, _)| *number), u64::try_from(SEGMENTS_MAX + 21).ok());
    }

    #[test]
    fn a_file_that_cannot_be_removed_ends_no_recording() {
        let dir = tempfile::tempdir().unwrap();
        for number in 1..=SEGMENTS_MAX {
            let path = dir.path().join(format!("{number:08}.{EXTENSION}"));
            if number == 1 { fs::create_dir(path).unwrap() } else { fs::write(path, b"").unwrap() }
        }
        let mut trace = Trace::with_segments_of(dir.path(), 2_000);
        tick(&mut trace, &mut machine(), 0, 200);
        assert!(!trace.broken.load(Ordering::Relaxed));
        close(trace);
        let left = segments(dir.path()).unwrap();
        assert_eq!((left.len(), left[0].0), (SEGMENTS_MAX + 1, 1));
        assert!(left.last().unwrap().0 > SEGMENTS_MAX as u64 + 2, "it went on");
    }

    #[test]
    fn nobody_else_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("trace");
        drop_after(&place, 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&segments(&place).unwrap()[0].1)), (0o700, 0o600));
    }

    /// A machine that cannot count with the times that it has, and panics with the second of these.
    fn events_before_a_panic() -> (Machine, [Event; 2]) {
        let observation = Observation {
            role: Role::Standby,
            data: DataDirectory::Absent,
            position: None,
            streaming_from: None,
            broken: None,
            followers: Vec::new(),
        };
        let guard = GuardReport { armed: None, processes: Processes::Running };
        (
            machine_with(Timings { renew_ms: u64::MAX, ..Timings::default() }),
            [Event::Guard(guard), Event::Postgres(observation)],
        )
    }

    #[test]
    fn the_input_with_which_the_machine_panics_is_written_and_panics_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut machine, events) = events_before_a_panic();
        let mut trace = Trace::open(dir.path());
        let run = std::panic::AssertUnwindSafe(move || {
            for event in events {
                trace.event(&machine, &event, at(0));
                machine.handle(event, at(0));
                trace.end(&machine, at(0));
            }
        });
        assert!(std::panic::catch_unwind(run).is_err());

        let summary = played(dir.path()).unwrap();
        assert_eq!((summary.steps, summary.panics, summary.failures.len()), (2, 1, 0), "{summary:?}");
    }

    #[test]
    fn a_segment_that_cannot_be_played_does_not_end_the_replay_of_the_others() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..4 {
            drop_after(dir.path(), 20);
        }
        let files = segments(dir.path()).unwrap();
        fs::write(&files[1].1, "no trace").unwrap();
        let mut bytes = fs::read(&files[2].1).unwrap();
        let middle = bytes.len() - 40;
        bytes[middle] ^= 0x20;
        fs::write(&files[2].1, bytes).unwrap();

        let summary = played(dir.path()).unwrap();
        assert_eq!((summary.segments, summary.failures.len()), (3, 2), "{summary:?}");
        assert!(summary.steps >= 40 && summary.steps < 60, "{summary:?}");
    }

    #[test]
    fn a_file_that_is_no_trace_is_refused_and_nothing_is_no_success() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(played(dir.path()), Err(ReplayError::Nothing { .. })));
        let file = dir.path().join("phase.json");
        fs::write(&file, "{\"Standby\":1}").unwrap();
        let summary = played(&file).unwrap();
        assert!(matches!(summary.failures[..], [ReplayError::Segment { .. }]), "{summary:?}");
    }
}
