//! Reads what the servers have written down: journals, timelines, what was set aside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sb_api::{Event, HistoryEntry};

use super::check::{Handover, Kept, Timelines, Told, WalPlace, read_ancestors};
use super::history::RunClock;
use crate::lab::Lab;
use crate::place::Place;

/// Every entry of every server that was seen so far. An entry that a full disk did not take is in the agent's memory
/// until that ends, so they are gathered all along.
#[derive(Debug, Default)]
pub(super) struct Journals {
    events: BTreeMap<(Place, String, u64), Event>,
}

impl Journals {
    /// Reads what is in files and memories now.
    pub(super) async fn gather(&mut self, lab: &Lab) {
        for host in lab.hosts() {
            let place = host.place();
            let mut since = 0;
            while let Some(last) = self.remember(place, answer(lab, place, since).await) {
                since = last;
            }
            for name in ["journal.jsonl.1", "journal.jsonl"] {
                let text = fs::read_to_string(host.directories().state.join(name)).unwrap_or_default();
                // A line cut by a crash says nothing.
                let events = text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok());
                self.remember(place, events.collect());
            }
        }
    }

    /// The id of the last of them.
    fn remember(&mut self, place: Place, events: Vec<Event>) -> Option<u64> {
        let last = events.last().map(|event| event.id);
        self.events.extend(events.into_iter().map(|event| ((place, event.at.clone(), event.id), event)));
        last
    }

    /// All of them on the run's clock.
    pub(super) fn told(&self, clock: RunClock) -> Vec<Told> {
        let told = self.events.iter().map(|((server, at, _), event)| Told {
            // What was before the run began at its beginning: the founder's term is one of these.
            at: clock.place(at).unwrap_or_default(),
            server: *server,
            kind: event.kind.clone(),
            term: event.term,
            message: event.message.clone(),
            detail: event.detail.clone(),
        });
        told.collect()
    }
}

async fn answer(lab: &Lab, place: Place, since: u64) -> Vec<Event> {
    lab.agents().events(place, since).await.unwrap_or_default()
}

/// The changes of term, as the replicated record has them.
pub(super) async fn record(lab: &Lab) -> Vec<Handover> {
    let mut newest = Vec::new();
    for host in lab.hosts() {
        let history = lab.agents().history(host.place()).await.unwrap_or_default();
        let handovers: Vec<_> = history.iter().filter_map(handover).collect();
        if handovers.last().map(|it| it.term) > newest.last().map(|it: &Handover| it.term) {
            newest = handovers;
        }
    }
    newest
}

fn handover(entry: &HistoryEntry) -> Option<Handover> {
    let position = |text: &str| {
        let (timeline, at) = text.split_once('@')?;
        Some((timeline.parse().ok()?, WalPlace::read(at)?))
    };
    let server = Place::named(&entry.primary)?;
    Some(Handover { term: entry.term, server, position: entry.position.as_deref().and_then(position) })
}

/// Every server's timeline history files.
pub(super) fn timelines(lab: &Lab) -> Vec<Timelines> {
    let of_host = |host: &crate::host::Host| {
        let files = names(&host.directories().state.join("pgdata/pg_wal")).into_iter().filter_map(|path| {
            let timeline = path.file_name()?.to_str()?.strip_suffix(".history")?;
            let timeline = u32::from_str_radix(timeline, 16).ok()?;
            Some((timeline, read_ancestors(&fs::read_to_string(path).ok()?)))
        });
        Timelines { server: host.place(), files: files.collect() }
    };
    lab.hosts().iter().map(of_host).collect()
}

/// What every server has set aside of diverged logs.
pub(super) fn kept(lab: &Lab) -> Vec<Kept> {
    let of_host = |host: &crate::host::Host| {
        let parked = names(&host.directories().state.join("parked"));
        let is_log =
            |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wal-"));
        let logs: Vec<_> = parked.iter().filter(is_log).collect();
        let reports: Vec<_> = logs.iter().filter_map(|path| report(&path.join("lost-writes.json"))).collect();
        Kept {
            server: host.place(),
            reports: reports.len(),
            logs: logs.len(),
            transactions: reports.iter().map(|report| report.transaction_count).sum(),
            complete: reports.iter().all(|report| report.complete),
        }
    };
    lab.hosts().iter().map(of_host).collect()
}

/// What a lost-write report counts.
#[derive(Debug, serde::Deserialize)]
struct Report {
    transaction_count: u64,
    complete: bool,
}

fn report(path: &Path) -> Option<Report> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// What is in a directory; nothing where there is none.
fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}
