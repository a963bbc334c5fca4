//! `sb-agent replay`: plays a trace through the failover machine and tells every step.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sb_failover::trace::{Diverged, Follows, Opening, Played, Replay, TraceError, read_segment};
use sb_failover::{BootTime, Command, Event};
use serde::Serialize;

use crate::trace::segments;

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

/// What was played.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Segments.
    pub segments: usize,
    /// Steps, shown or not.
    pub steps: u64,
    /// Steps that the trace says are missing, at least.
    pub missing: u64,
    /// Segments that end in a torn frame.
    pub torn: usize,
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
    #[error("cannot replay `{}`", path.display())]
    Segment {
        /// Which.
        path: PathBuf,
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

/// Plays the segment at `path`, or all of a directory, and writes the steps to `out`.
///
/// # Errors
/// See [`ReplayError`]. A torn end is none.
pub fn replay(path: &Path, shown: Shown, form: Form, out: &mut dyn Write) -> Result<Summary, ReplayError> {
    let read = |source| ReplayError::Read { path: path.to_owned(), source };
    let files = if path.is_dir() { segments(path).map_err(read)? } else { vec![(0, path.to_owned())] };
    if files.is_empty() {
        return Err(ReplayError::Nothing { path: path.to_owned() });
    }
    let (mut played, mut summary, mut last) = (Replay::new(), Summary::default(), None);
    for (number, file) in files {
        if last.is_some_and(|last| last + 1 != number) {
            played.skip();
        }
        play_segment(&file, &mut played, &mut summary, shown, form, out)?;
        last = Some(number);
    }
    Ok(summary)
}

fn play_segment(
    path: &Path,
    played: &mut Replay,
    summary: &mut Summary,
    shown: Shown,
    form: Form,
    out: &mut dyn Write,
) -> Result<(), ReplayError> {
    let bytes = std::fs::read(path).map_err(|source| ReplayError::Read { path: path.to_owned(), source })?;
    let segment = match read_segment(&bytes) {
        Ok(segment) => segment,
        // Killed while it began the segment: nothing is in it.
        Err(TraceError::Empty) => {
            summary.torn += 1;
            played.skip();
            return Ok(());
        }
        Err(source) => return Err(ReplayError::Segment { path: path.to_owned(), source }),
    };
    let torn = segment.torn_bytes > 0;
    let diverged = |step, source| ReplayError::Diverged { path: path.to_owned(), step, source };
    let opening = played.enter(segment).map_err(|source| diverged(0, source))?;
    summary.segments += 1;
    if let Follows::Gap { steps } = opening.follows {
        summary.missing += steps;
        if form == Form::Text {
            writeln!(out, "-- at least {steps} steps are missing here: the disk did not take them")?;
        }
    }
    let mut step = 0;
    while let Some(result) = played.step() {
        step += 1;
        summary.steps += 1;
        let (told, failed) = match result {
            Ok(told) => (told, None),
            Err(failed) => (failed.0, Some(failed.1)),
        };
        let at = wall(&opening, told.moment);
        if failed.is_some() || is_shown(shown, at) {
            write_step(&told, at, form, out)?;
        }
        if let Some(source) = failed {
            return Err(diverged(step, source));
        }
    }
    if torn {
        summary.torn += 1;
        played.skip();
    }
    Ok(())
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
    after: String,
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
            after: after.to_string(),
            event,
            commands,
        };
        serde_json::to_writer(&mut *out, &line)?;
        return writeln!(out);
    }
    let at = at.unwrap_or_else(|| format!("{moment:?}"));
    let places = if before == after { before.to_string() } else { format!("{before} -> {after}") };
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
