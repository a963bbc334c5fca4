//! `sb-agent replay`: plays a trace through the failover machine and tells every step.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sb_failover::trace::{
    Diverged, FRAME_BYTES_MAX, Follows, Opening, Played, Replay, StepError, TraceError, read_segment,
};
use sb_failover::{BootTime, Command, Event};
use serde::Serialize;

use crate::trace::{SEGMENT_BYTES_MAX, segments};

/// Longest text of one event or command in the short form, in characters.
const TEXT_CHARACTERS_MAX: usize = 160;

/// Which steps are shown. All are played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Up to this moment.
    pub until: Option<Timestamp>,
}

/// In which form steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One line each.
    Text,
    /// One JSON object a line, with everything in the events and commands.
    Json,
}

/// The longest file that is read, in bytes: a full segment whose last step passes its bound.
const FILE_BYTES_MAX: u64 = SEGMENT_BYTES_MAX + 2 * FRAME_BYTES_MAX as u64;

/// What was played.
#[derive(Debug, Default)]
pub struct Summary {
    /// Segments.
    pub segments: usize,
    /// Steps, shown or not.
    pub steps: u64,
    /// Steps that the trace says are missing, at least.
    pub missing: u64,
    /// Segments that end in a torn frame.
    pub torn: usize,
    /// Segments that end with a panic of the machine, here as when they were recorded.
    pub panics: usize,
    /// Why segments were not played to their end, in their order.
    pub failures: Vec<ReplayError>,
}

/// Why a trace could not be played to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A file or directory could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no segment.
    #[error("there is no trace in `{}`", path.display())]
    Nothing {
        /// Where.
        path: PathBuf,
    },
    /// A segment is none, or damaged.
    #[error("cannot replay `{}` beyond step {step}", path.display())]
    Segment {
        /// Which.
        path: PathBuf,
        /// How many of its steps were played.
        step: u64,
        /// Why.
        #[source]
        source: TraceError,
    },
    /// The machine of this program does something else than the recorded one.
    #[error("the replay of `{}` diverges at step {step}", path.display())]
    Diverged {
        /// In which segment.
        path: PathBuf,
        /// At which of its steps, from 1; 0 is its beginning.
        step: u64,
        /// How.
        #[source]
        source: Diverged,
    },
    /// What was played could not be written.
    #[error("could not write")]
    Write(#[from] io::Error),
}

/// Plays the segment at `path`, or all of a directory, and writes the steps to `out`. A segment that cannot be played to its
/// end is among the failures of the summary, and the next one is played.
///
/// # Errors
/// When there is nothing to play, or it cannot be written. A torn end is none.
pub fn replay(path: &Path, shown: Shown, form: Form, out: &mut dyn Write) -> Result<Summary, ReplayError> {
    let read = |source| ReplayError::Read { path: path.to_owned(), source };
    let files = if path.is_dir() { segments(path).map_err(read)? } else { vec![(0, path.to_owned())] };
    if files.is_empty() {
        return Err(ReplayError::Nothing { path: path.to_owned() });
    }
    let mut playing = Playing { replay: Replay::new(), summary: Summary::default(), shown, form, out };
    let mut last = None;
    for (number, file) in files {
        if last.is_some_and(|last| last + 1 != number) {
            playing.replay.skip();
        }
        match playing.segment(&file) {
            Ok(()) => {}
            Err(error @ ReplayError::Write(_)) => return Err(error),
            Err(error) => {
                playing.summary.failures.push(error);
                playing.replay.skip();
            }
        }
        last = Some(number);
    }
    Ok(playing.summary)
}

/// A replay under way.
struct Playing<'a> {
    replay: Replay,
    summary: Summary,
    shown: Shown,
    form: Form,
    out: &'a mut dyn Write,
}

impl Playing<'_> {
    fn segment(&mut self, path: &Path) -> Result<(), ReplayError> {
        let bytes = read_file(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
        let segment = match read_segment(bytes) {
            Ok(segment) => segment,
            // Killed while it began the segment: nothing is in it.
            Err(TraceError::Empty) => {
                self.summary.torn += 1;
                self.replay.skip();
                return Ok(());
            }
            Err(source) => return Err(ReplayError::Segment { path: path.to_owned(), step: 0, source }),
        };
        let opening = self.replay.enter(segment).map_err(|source| ReplayError::Diverged {
            path: path.to_owned(),
            step: 0,
            source,
        })?;
        self.summary.segments += 1;
        if let Follows::Gap { steps } = opening.follows {
            self.summary.missing += steps;
            if self.form == Form::Text {
                writeln!(self.out, "-- at least {steps} steps are missing here: the disk did not take them")?;
            }
        }
        self.steps(path, &opening)?;
        if self.replay.is_torn() {
            self.summary.torn += 1;
            self.replay.skip();
        }
        Ok(())
    }

    fn steps(&mut self, path: &Path, opening: &Opening) -> Result<(), ReplayError> {
        let mut step = 0;
        while let Some(result) = self.replay.step() {
            step += 1;
            let (told, failed) = match result {
                Ok(told) => (told, None),
                Err(StepError::Diverged(told, source)) => (*told, Some(source)),
                Err(StepError::Unread(source)) => {
                    return Err(ReplayError::Segment { path: path.to_owned(), step: step - 1, source });
                }
            };
            self.summary.steps += 1;
            let panicked = failed.is_none() && told.after.is_none();
            self.summary.panics += usize::from(panicked);
            let at = wall(opening, told.moment);
            if failed.is_some() || panicked || is_shown(self.shown, at) {
                write_step(&told, at, self.form, self.out)?;
            }
            if let Some(source) = failed {
                return Err(ReplayError::Diverged { path: path.to_owned(), step, source });
            }
        }
        Ok(())
    }
}

/// A file that is no segment may be of any length.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The wall clock's moment: that of the segment's beginning, and what has passed since by CLOCK_BOOTTIME.
fn wall(opening: &Opening, moment: BootTime) -> Option<Timestamp> {
    let begun: Timestamp = opening.at.parse().ok()?;
    begun.checked_add(moment.since(opening.moment)).ok()
}

fn is_shown(shown: Shown, at: Option<Timestamp>) -> bool {
    let Some(at) = at else {
        return true;
    };
    shown.from.is_none_or(|from| at >= from) && shown.until.is_none_or(|until| at <= until)
}

#[derive(Serialize)]
struct StepInJson<'a> {
    at: Option<String>,
    boot_ms: u64,
    before: String,
    /// `null` where the machine panicked.
    after: Option<String>,
    event: &'a Event,
    commands: &'a [Command],
}

fn write_step(step: &Played, at: Option<Timestamp>, form: Form, out: &mut dyn Write) -> io::Result<()> {
    let at = at.map(|at| format!("{at:.3}"));
    let Played { moment, event, before, after, commands } = step;
    if form == Form::Json {
        let line = StepInJson {
            at,
            boot_ms: u64::try_from(moment.as_duration().as_millis()).unwrap_or(u64::MAX),
            before: before.to_string(),
            after: after.map(|after| after.to_string()),
            event,
            commands,
        };
        serde_json::to_writer(&mut *out, &line)?;
        return writeln!(out);
    }
    let at = at.unwrap_or_else(|| format!("{moment:?}"));
    let places = match after {
        Some(after) if after == before => before.to_string(),
        Some(after) => format!("{before} -> {after}"),
        None => format!("{before} -> panic"),
    };
    writeln!(out, "{at}  {places:<24}  {}", event_in_words(event))?;
    for command in commands {
        writeln!(out, "    {}", cut(format!("{command:?}")))?;
    }
    Ok(())
}

fn event_in_words(event: &Event) -> String {
    match event {
        Event::Record(record) => match &record.lease {
            Some(lease) => {
                let released = if lease.released.is_some() { ", given back" } else { "" };
                format!(
                    "Record: `{}` holds term {}, renewal {}{released}; {} reports",
                    lease.holder,
                    lease.term,
                    lease.seq,
                    record.valid_reports().count()
                )
            }
            None => "Record: not initialized".to_owned(),
        },
        other => cut(format!("{other:?}")),
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= TEXT_CHARACTERS_MAX {
        return text;
    }
    text.chars().take(TEXT_CHARACTERS_MAX).chain("...".chars()).collect()
}
