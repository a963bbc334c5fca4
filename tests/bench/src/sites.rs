//! Our own product on the lab's servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use sb_api::Event;
use sb_lab::demo::table;
use sb_lab::host::{Host, Power};
use sb_lab::lab::Lab;
use sb_lab::network::Network;
use sb_lab::options::LabOptions;
use sb_lab::picture::Picture;
use sb_lab::place::Place;
use sb_lab::recorder::Access;

use crate::cluster::{Cluster, Note, Sight};

/// Until six servers are up for the first time.
const UP: Duration = Duration::from_secs(180);

/// Six servers with our agents. Dropping it ends them and removes their files.
pub struct Sites {
    lab: Lab,
}

impl Sites {
    /// Builds them and waits until all are up.
    pub async fn up(root: &Path, name: &str, options: &LabOptions) -> anyhow::Result<Self> {
        let root = root.join(name);
        std::fs::create_dir_all(&root)?;
        let lab = Lab::build(&root, options).map_err(|error| {
            let hint = error.hint().unwrap_or_default();
            anyhow::Error::new(error).context(hint)
        })?;
        let sites = Self { lab };
        sites.lab.switch_on();
        if let Err(error) = sites.whole(UP).await {
            let kept = sites.keep_logs(name)?;
            return Err(error).with_context(|| format!("logs: {}", kept.display()));
        }
        Ok(sites)
    }

    /// The journal of every server that answers, after these ids.
    pub async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for host in self.lab.hosts().iter().filter(|host| host.power() == Power::On) {
            let mut since = 0;
            while let Ok(answer) = self.lab.agents().events(host.place(), since).await {
                let Some(last) = answer.last() else { break };
                since = last.id;
                events.extend(answer);
            }
        }
        events
    }
}

impl Cluster for Sites {
    fn hosts(&self) -> &[Host] {
        self.lab.hosts()
    }

    fn network(&self) -> &Network {
        self.lab.network()
    }

    fn access(&self) -> Access {
        self.lab.access()
    }

    async fn look(&self) -> Sight {
        let picture = Picture::take(&self.lab).await;
        Sight {
            primary: picture.primary().map(|server| server.place),
            term: picture.term(),
            whole: picture.whole(),
            lines: table(&picture),
        }
    }

    async fn switchover(&self, from: Place, to: Place) -> anyhow::Result<()> {
        self.lab.agents().switchover(from, Some(to)).await.context("the agent refused the switchover")
    }

    fn keep_logs(&self, story: &str) -> anyhow::Result<PathBuf> {
        Ok(self.lab.keep_logs(&format!("bench-{story}"))?)
    }

    async fn notes(&self, since: Timestamp) -> Vec<Note> {
        let note = |event: Event| {
            let at: Timestamp = event.at.parse().ok()?;
            let seconds = (at - since).total(jiff::Unit::Second).ok().filter(|seconds| *seconds >= 0.0)?;
            let detail = event.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            let message = event.message + &detail;
            Some(Note { seconds, server: event.server, kind: event.kind, message })
        };
        let mut notes: Vec<Note> = self.events().await.into_iter().filter_map(note).collect();
        notes.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        notes
    }
}

impl Drop for Sites {
    fn drop(&mut self) {
        if let Err(error) = self.lab.clear_away() {
            eprintln!("the sites were not cleared away: {error}");
        }
    }
}
