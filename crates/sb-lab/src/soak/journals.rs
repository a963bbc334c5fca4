//! Reads the servers' journals after a run.

use std::collections::BTreeMap;
use std::fs;

use sb_api::Event;

use super::check::Told;
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
    let told = events.into_iter().filter_map(|((server, at, _), event)| {
        // What was before the run began at its beginning: the founder's term is one of these.
        let at = clock.place(&at).unwrap_or_default();
        Some(Told { at, server, kind: event.kind, term: Some(event.term?) })
    });
    told.collect()
}
