//! What a measurement needs of a product, ours or another's, to measure it on the lab's servers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sb_lab::fault::Part;
use sb_lab::host::{Host, Power};
use sb_lab::network::Network;
use sb_lab::place::Place;
use sb_lab::recorder::Access;

/// Between two looks. A look asks every server; they have other things to do.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// The cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who is primary.
    pub primary: Option<Place>,
    /// The number of its primaryship, where the product has one.
    pub term: Option<u64>,
    /// Whether every other server follows it.
    pub whole: bool,
    /// The same for people, one line a server.
    pub lines: Vec<String>,
}

/// Something that a product has written down.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// Seconds after the fault, by the machine's clock, which all virtual servers share.
    pub seconds: f64,
    /// Whose journal it is.
    pub server: String,
    /// The entry's kind.
    pub kind: String,
    /// What it says.
    pub message: String,
}

/// A product on the lab's servers.
pub trait Cluster {
    /// Its servers.
    fn hosts(&self) -> &[Host];

    /// The network between them.
    fn network(&self) -> &Network;

    /// How clients get into the database.
    fn access(&self) -> Access;

    /// Looks at every server.
    async fn look(&self) -> Sight;

    /// Asks for a planned move of the primary.
    async fn switchover(&self, from: Place, to: Place) -> anyhow::Result<()>;

    /// What its journals say since a moment, oldest first; nothing where there are none.
    async fn notes(&self, since: jiff::Timestamp) -> Vec<Note>;

    /// Copies what its programs have printed out of the lab; says where.
    fn keep_logs(&self, story: &str) -> anyhow::Result<PathBuf>;

    /// One of its servers.
    fn host(&self, place: Place) -> anyhow::Result<&Host> {
        self.hosts().iter().find(|host| host.place() == place).context("the office is no server")
    }

    /// Ends every cut, thaws and switches on what is not running as it should.
    fn put_right(&self) -> anyhow::Result<()> {
        self.network().links().heal()?;
        for host in self.hosts() {
            match host.power() {
                Power::On => {}
                Power::Off => host.switch_on(),
                Power::Frozen => host.thaw()?,
            }
        }
        Ok(())
    }

    /// Kills one part of a server.
    fn kill(&self, place: Place, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Host => self.host(place)?.lose_power()?,
            Part::Guard | Part::Agent | Part::Postgres | Part::Etcd => {
                anyhow::ensure!(self.host(place)?.kill(part)? > 0, "nothing of that kind runs on `{place}`");
            }
        }
        Ok(())
    }

    /// Waits until the cluster is as wanted.
    async fn until(
        &self,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&Sight) -> bool,
    ) -> anyhow::Result<Sight> {
        let began = Instant::now();
        loop {
            let sight = self.look().await;
            if done(&sight) {
                return Ok(sight);
            }
            if began.elapsed() > limit {
                bail!("waited {limit:?} until {what}, in vain; last seen:\n{}", sight.lines.join("\n"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until every server follows the primary; returns who that is.
    async fn whole(&self, limit: Duration) -> anyhow::Result<Place> {
        let sight = self.until("every server followed the primary", limit, |sight| sight.whole).await?;
        sight.primary.context("a whole cluster has a primary")
    }
}
