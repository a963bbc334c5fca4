//! Reads what the servers have written down: journals, timelines, what was set aside.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sb_api::Event;

use super::check::{Kept, Timelines, Told, read_ancestors};
use super::history::RunClock;
use crate::lab::Lab;
use crate::place::Place;

/// Every entry of every server, from its files and from its agent's memory: a full disk costs the file entries.
pub(super) async fn collect(lab: &Lab, clock: RunClock) -> Vec<Told> {
    let mut events: BTreeMap<(Place, String, u64), Event> = BTreeMap::new();
    for host in lab.hosts() {
        let place = host.place();
        let mut found = lab.agents().events(place, 0).await.unwrap_or_default();
        for name in ["journal.jsonl.1", "journal.jsonl"] {
            let text = fs::read_to_string(host.directories().state.join(name)).unwrap_or_default();
            // A line cut by a crash says nothing.
            found.extend(text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()));
        }
        events.extend(found.into_iter().map(|event| ((place, event.at.clone(), event.id), event)));
    }
    let told = events.into_iter().map(|((server, at, _), event)| {
        // What was before the run began at its beginning: the founder's term is one of these.
        let at = clock.place(&at).unwrap_or_default();
        Told { at, server, kind: event.kind, term: event.term, message: event.message, detail: event.detail }
    });
    told.collect()
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
        let reports = logs.iter().filter(|path| path.join("lost-writes.json").is_file()).count();
        Kept { server: host.place(), reports, logs: logs.len() }
    };
    lab.hosts().iter().map(of_host).collect()
}

/// What is in a directory; nothing where there is none.
fn names(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}
