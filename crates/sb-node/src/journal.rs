//! The journal: what happened on this server, on disk and in the order it happened.
//!
//! One JSON object a line. The newest events are also in memory, so that a reader never waits for the disk, and
//! a full disk costs the file but not the picture.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use sb_api::{Event, Judgement};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How many of the newest events are kept in memory.
pub const EVENTS_IN_MEMORY_MAX: usize = 4096;

/// How many of the newest judgements of a succession are kept in memory, beside the events.
pub const JUDGEMENTS_IN_MEMORY_MAX: usize = 64;

/// Size at which the file is put aside as `journal.jsonl.1` and a new one begun.
pub const JOURNAL_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Lines that may wait for the disk; more are in memory only.
const LINES_WAITING_MAX: usize = 1024;

/// The journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("could not open the journal `{path}`")]
pub struct JournalError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// What is about to be written down. Id, time and server are added by the journal.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Stable dotted word.
    pub kind: &'static str,
    /// The term it belongs to.
    pub term: Option<u64>,
    /// A fact in one sentence.
    pub message: String,
    /// Numbers and positions.
    pub detail: Option<String>,
    /// How a succession was judged; the journal adds when and by whom.
    pub judgement: Option<Box<Judgement>>,
}

impl Entry {
    /// An entry without term and detail.
    #[must_use]
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, term: None, message: message.into(), detail: None, judgement: None }
    }

    /// With the term it belongs to.
    #[must_use]
    pub fn term(mut self, term: u64) -> Self {
        self.term = Some(term);
        self
    }

    /// With how a succession was judged.
    #[must_use]
    pub fn judgement(mut self, judgement: Judgement) -> Self {
        self.judgement = Some(Box::new(judgement));
        self
    }

    /// With numbers and positions.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// The journal of one server.
///
/// A thread of its own writes the file: a disk that hangs must not hold up a failover.
#[derive(Debug)]
pub struct Journal {
    server: String,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    lines: Option<SyncSender<Vec<u8>>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    next_id: u64,
    recent: VecDeque<Event>,
    judgements: VecDeque<Judgement>,
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    event: Event,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judgement: Option<Box<Judgement>>,
}

/// The file, as its thread has it.
#[derive(Debug)]
struct Writer {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Journal {
    /// Opens the journal, reading what is there. A line cut by a crash is passed over.
    ///
    /// # Errors
    /// When the file cannot be opened or read.
    pub fn open(path: &Path, server: &str) -> Result<Self, JournalError> {
        let fail = |source| JournalError { path: path.to_owned(), source };
        let mut recent = VecDeque::new();
        let mut judgements = former_judgements(path);
        let mut cut = false;
        if path.exists() {
            for line in BufReader::new(File::open(path).map_err(fail)?).lines() {
                let Ok(line) = serde_json::from_str::<Line>(&line.map_err(fail)?) else {
                    cut = true;
                    continue;
                };
                cut = false;
                keep(&mut recent, line.event, EVENTS_IN_MEMORY_MAX);
                if let Some(judgement) = line.judgement {
                    keep(&mut judgements, *judgement, JUDGEMENTS_IN_MEMORY_MAX);
                }
            }
        }
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(fail)?;
        if cut {
            file.write_all(b"\n").map_err(fail)?;
        }
        let bytes = file.metadata().map_err(fail)?.len();
        let next_id = recent.back().map_or(1, |e| e.id + 1);
        let (newest, _) = watch::channel(next_id - 1);
        let (lines, waiting) = sync_channel(LINES_WAITING_MAX);
        let writer = Writer { path: path.to_owned(), file, bytes };
        let writer = std::thread::Builder::new().name("journal".into()).spawn(move || writer.run(&waiting));
        Ok(Self {
            server: server.to_owned(),
            inner: Mutex::new(Inner { next_id, recent, judgements }),
            newest,
            lines: Some(lines),
            writer: Some(writer.map_err(fail)?),
        })
    }

    /// Writes an event down and wakes those who wait for one.
    pub fn record(&self, entry: Entry) {
        let mut inner = self.inner.lock().expect("a panic while writing the journal ends the agent");
        let event = Event {
            id: inner.next_id,
            at: crate::operations::now(),
            server: self.server.clone(),
            kind: entry.kind.to_owned(),
            term: entry.term,
            message: entry.message,
            detail: entry.detail,
        };
        tracing::info!(kind = entry.kind, detail = event.detail.as_deref(), "{}", event.message);
        inner.next_id += 1;
        let id = event.id;
        let mut line = Line { event, judgement: entry.judgement };
        if let Some(judgement) = &mut line.judgement {
            (judgement.at, judgement.by) = (line.event.at.clone(), self.server.clone());
        }
        self.write(&line);
        keep(&mut inner.recent, line.event, EVENTS_IN_MEMORY_MAX);
        if let Some(judgement) = line.judgement {
            keep(&mut inner.judgements, *judgement, JUDGEMENTS_IN_MEMORY_MAX);
        }
        drop(inner);
        self.newest.send_replace(id);
    }

    /// The events after `since`, at most `limit`, oldest first.
    #[must_use]
    pub fn since(&self, since: u64, limit: usize) -> Vec<Event> {
        let inner = self.inner.lock().expect("a panic while writing the journal ends the agent");
        inner.recent.iter().filter(|e| e.id > since).take(limit).cloned().collect()
    }

    /// How this server judged the succession that `term` began with; without one the last that it judged.
    #[must_use]
    pub fn judgement(&self, term: Option<u64>) -> Option<Judgement> {
        let inner = self.inner.lock().expect("a panic while writing the journal ends the agent");
        inner.judgements.iter().rev().find(|j| term.is_none_or(|term| term == j.term)).cloned()
    }

    /// The id of the newest event, as it rises.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn write(&self, line: &Line) {
        let mut bytes = serde_json::to_vec(line).expect("an event is made of texts and numbers");
        bytes.push(b'\n');
        // A journal that cannot be written must not stop a failover: the event stays in memory.
        if self.lines.as_ref().is_none_or(|lines| lines.try_send(bytes).is_err()) {
            tracing::warn!(
                id = line.event.id,
                "the journal's disk does not keep up; an event is in memory only"
            );
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // What the thread could not write it has said already.
            let _ = writer.join();
        }
    }
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Vec<u8>>) {
        for line in waiting {
            if self.bytes + line.len() as u64 > JOURNAL_FILE_BYTES_MAX
                && let Err(error) = self.put_aside()
            {
                tracing::warn!(%error, "could not begin a new journal file");
            }
            match self.file.write_all(&line) {
                Ok(()) => self.bytes += line.len() as u64,
                Err(error) => tracing::warn!(%error, "could not write the journal"),
            }
        }
    }

    fn put_aside(&mut self) -> std::io::Result<()> {
        std::fs::rename(&self.path, put_aside(&self.path))?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

fn put_aside(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

/// The judgements in the file that was put aside; none when it cannot be read, since they are for people only.
fn former_judgements(path: &Path) -> VecDeque<Judgement> {
    let mut judgements = VecDeque::new();
    let Ok(file) = File::open(put_aside(path)) else {
        return judgements;
    };
    for line in BufReader::new(file).lines().map_while(Result::ok).filter(|l| l.contains("\"judgement\"")) {
        if let Ok(Line { judgement: Some(judgement), .. }) = serde_json::from_str(&line) {
            keep(&mut judgements, *judgement, JUDGEMENTS_IN_MEMORY_MAX);
        }
    }
    judgements
}

fn keep<T>(recent: &mut VecDeque<T>, one_more: T, max: usize) {
    if recent.len() == max {
        recent.pop_front();
    }
    recent.push_back(one_more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_by_a_crash_costs_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let journal = Journal::open(&path, "ravena-1").unwrap();
        journal.record(Entry::new("agent.started", "the agent started"));
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"id\":2,\"at").unwrap();

        let journal = Journal::open(&path, "ravena-1").unwrap();
        journal.record(Entry::new("agent.started", "the agent started again").term(3));
        drop(journal);

        let again = Journal::open(&path, "ravena-1").unwrap().since(0, 10);
        assert_eq!(again.iter().map(|e| e.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(again[1].term, Some(3));
    }

    fn judged(term: u64) -> Judgement {
        Judgement {
            term,
            holder: "ravena-1".into(),
            renewal: 40,
            by: String::new(),
            at: String::new(),
            winner: Some("burlington-1".into()),
            verdict: "`burlington-1` takes over".into(),
            candidates: Vec::new(),
        }
    }

    #[test]
    fn a_judgement_is_known_after_a_restart_also_from_the_file_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        for term in [2, 3] {
            let journal = Journal::open(&path, "burlington-1").unwrap();
            journal.record(Entry::new("failover.judged", "judged").term(term).judgement(judged(term)));
            drop(journal);
            if term == 2 {
                std::fs::rename(&path, put_aside(&path)).unwrap();
            }
        }

        let journal = Journal::open(&path, "burlington-1").unwrap();
        assert_eq!(journal.judgement(None).map(|j| j.term), Some(3), "the last");
        let older = journal.judgement(Some(2)).unwrap();
        assert_eq!(older.by, "burlington-1", "who judged is added by the journal");
        assert!(!older.at.is_empty());
        assert_eq!(journal.judgement(Some(4)), None);
    }
}
