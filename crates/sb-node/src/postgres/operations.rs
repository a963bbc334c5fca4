//! The machine's operations on PostgreSQL, one function each.

use std::time::Duration;

use sb_failover::{OpFailure, OpOutput, Processes, RepairReason, SyncStandbys, Term};
use sb_pgrepl::{
    ClientAccess, CloneRequest, DataIdentity, LocalData, RepairStep, RewindError, Role, ShutdownMode,
    SourceFacts, StartRole, Upstream, repair_plan,
};
use sb_pgtypes::{Lineage, Position, TimelineId};
use sb_topology::ServerName;
use tokio::time::Instant;

use super::desired::Slot;
use super::driver::{Driver, chain, failed};
use super::postmaster::{self, PostmasterError};
use crate::guard_link::{GuardLinkError, answer, guard_term, processes};
use crate::journal::Entry;

/// Longest wait for a started PostgreSQL to accept sessions, in milliseconds. A primary has its restart budget
/// watched by the machine; a standby may have much WAL to replay.
const READY_MS_MAX: u64 = 60_000;

/// Longest wait to learn what a PostgreSQL that runs already is, in milliseconds.
const LOOK_MS_MAX: u64 = 2_000;

/// Longest time to stop receiving and replay what is on disk, in milliseconds.
const FREEZE_MS_MAX: u64 = 5_000;

/// For how long a re-pointed standby is kept from waiting between its attempts, in milliseconds: a promotion and a few
/// round trips to the farthest site.
const HASTEN_MS_MAX: u64 = 2_000;

/// Longest time for a changed set of synchronous standbys to be in force, in milliseconds.
const SYNC_MS_MAX: u64 = 5_000;

/// Longest time for the sessions of clients to end before a promotion, in milliseconds.
const SESSIONS_END_MS_MAX: u64 = 2_000;

/// Longest clone, in milliseconds: 50 GB over a line of 10 Mbit/s take half a day.
const CLONE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Longest rewind, in milliseconds.
const REWIND_MS_MAX: u64 = 60 * 60 * 1_000;

/// Longest fast shutdown of what runs before a start or a repair, in milliseconds; then it is killed.
const STANDBY_STOP_MS_MAX: u64 = 10_000;

/// Longest wait for the proof that everything killed is gone, in milliseconds.
const KILL_MS_MAX: u64 = 5_000;

/// Longest wait for the source of a repair to say where its log ends, in milliseconds.
const SOURCE_MS_MAX: u64 = 5_000;

type Ended = Result<OpOutput, OpFailure>;

impl Driver {
    pub(super) async fn init_db(&self) -> Ended {
        // What an unfinished founding left behind was never seen by anybody.
        let found = self.instance().data_identity().await.map_err(|e| failed(&e))?;
        let system_identifier = match found {
            DataIdentity::Present { system_identifier } => system_identifier,
            DataIdentity::Absent | DataIdentity::Unfinished(_) => {
                self.instance().init_db().await.map_err(|e| failed(&e))?
            }
        };
        Ok(OpOutput::Initialized { system_identifier, lineage: Lineage::first() })
    }

    pub(super) async fn start_primary(&self, term: Term, sync: &SyncStandbys) -> Ended {
        let link = &self.config.guard;
        self.end_all().await?;
        self.set_access(ClientAccess::Closed);
        let instance = self.instance();
        instance.stage_sync_standbys(&standbys(sync)).map_err(|e| failed(&e))?;
        let prepared = instance.prepare_start(&StartRole::Primary, &self.desired()?).await;
        let spec = prepared.map_err(|e| failed(&e))?;
        postmaster::start(link, spec, Some(term)).await.map_err(|e| failed(&e))?;
        match self.wait_ready().await? {
            Role::Primary => {}
            Role::Standby => return Err(plain("PostgreSQL came up as a standby")),
        }
        self.take_back().await?;
        Ok(OpOutput::At(self.position().await?))
    }

    pub(super) async fn start_standby(&self, upstream: Option<&ServerName>) -> Ended {
        let link = &self.config.guard;
        let runs = processes(&link.refresh().await.map_err(|e| failed(&e))?) == Processes::Running;
        if runs && matches!(self.instance().wait_ready(ms(LOOK_MS_MAX)).await, Ok(Role::Standby)) {
            self.follow(upstream).await?;
        } else {
            self.start_standby_anew(upstream).await?;
        }
        // What this server kept for others as a primary would fill its disk: nobody comes for it here.
        if let Err(error) = self.instance().reconcile_slots(&[]).await {
            tracing::warn!(error = %chain(&error), "could not drop the slots of a former primary");
        }
        self.trim_parked();
        Ok(OpOutput::Nothing)
    }

    /// This server's copy has come up and is consistent: of what was parked before it, only the newest is kept. Beside the
    /// operations, because deleting takes long; what is parked meanwhile is newer and stays.
    fn trim_parked(&self) {
        let driver = self.clone();
        tokio::spawn(async move {
            match driver.instance().trim_parked().await {
                Ok(deleted) if deleted.is_empty() => {}
                Ok(deleted) => {
                    let message = "old parked copies were deleted";
                    let entry = Entry::new("repair.parked_deleted", message);
                    driver.config.journal.record(entry.detail(format!("{deleted:?}")));
                }
                Err(error) => tracing::warn!(error = %chain(&error), "could not delete old parked copies"),
            }
        });
    }

    async fn start_standby_anew(&self, upstream: Option<&ServerName>) -> Result<(), OpFailure> {
        let (link, instance) = (&self.config.guard, self.instance());
        self.end_all().await?;
        self.mend_vain_start().await;
        self.set_access(ClientAccess::Open);
        let upstream = upstream.map(|name| self.upstream(name, self.slot_of(name))).transpose()?;
        let prepared = instance.prepare_start(&StartRole::Standby(upstream), &self.desired()?).await;
        let spec = prepared.map_err(|e| failed(&e))?;
        postmaster::start(link, spec, None).await.map_err(|e| failed(&e))?;
        self.vain_starts.started();
        self.config.fence.open_for_standby().await;
        match self.wait_ready().await? {
            Role::Standby => self.take_back().await,
            Role::Primary => {
                self.kill_all().await?;
                Err(plain("PostgreSQL came up as a primary instead of a standby, and was killed"))
            }
        }
    }

    /// Waits until what was just started accepts sessions. What has ended meanwhile, fenced or by its own failure, never
    /// will, and whoever waited for it would keep every later operation from the data directory.
    async fn wait_ready(&self) -> Result<Role, OpFailure> {
        tokio::select! {
            ready = self.instance().wait_ready(ms(READY_MS_MAX)) => ready.map_err(|e| failed(&e)),
            gone = self.config.guard.gone() => {
                gone.map_err(|e| failed(&e))?;
                Err(plain("PostgreSQL has ended before it accepted sessions"))
            }
        }
    }

    /// Ends whatever runs: in order if it can, else by force. A standby that waits for a hung disk or session would
    /// otherwise be in the way for ever; its log is on disk, and it recovers at its next start.
    async fn end_all(&self) -> Result<(), OpFailure> {
        match postmaster::stop(&self.config.guard, ShutdownMode::Fast, ms(STANDBY_STOP_MS_MAX)).await {
            Ok(()) => Ok(()),
            Err(error @ PostmasterError::Alive(_)) => {
                tracing::warn!(%error, "killing it");
                self.kill_all().await
            }
            Err(error @ PostmasterError::Guard(_)) => Err(failed(&error)),
        }
    }

    /// Kills every process of PostgreSQL, and returns when it is proven that none is left.
    async fn kill_all(&self) -> Result<(), OpFailure> {
        let link = &self.config.guard;
        let client = link.client().map_err(|e| failed(&e))?;
        client.kill_all(ms(KILL_MS_MAX)).await.map_err(|e| failed(&GuardLinkError::from(e)))?;
        link.refresh().await.map_err(|e| failed(&e))?;
        Ok(())
    }

    pub(super) async fn follow(&self, upstream: Option<&ServerName>) -> Ended {
        match upstream {
            Some(name) => {
                let upstream = self.upstream(name, self.slot_of(name))?;
                self.instance().follow(&upstream).await.map_err(|e| failed(&e))?;
                self.hasten_streaming();
            }
            None => {
                self.instance().freeze(ms(FREEZE_MS_MAX)).await.map_err(|e| failed(&e))?;
            }
        }
        Ok(OpOutput::Nothing)
    }

    /// Beside the operations: whom this server follows now may not be promoted yet, and synchronously clients wait until a
    /// standby has what it wrote.
    fn hasten_streaming(&self) {
        if !self.config.record.borrow().view.sync.durability.is_synchronous() {
            return;
        }
        let instance = self.instance().clone();
        let hastening = tokio::spawn(async move {
            if let Err(error) = instance.hasten_streaming(ms(HASTEN_MS_MAX)).await {
                tracing::debug!(error = %chain(&error), "could not look after a standby that was re-pointed");
            }
        });
        *self.hastening.lock().expect("nothing panics while it is held") = Some(hastening.abort_handle());
    }

    /// A planned stop: a checkpoint first, so that the shutdown's own is short. A checkpoint that takes over half of the
    /// time fails the operation while PostgreSQL still runs: the shutdown's own might take as long.
    pub(super) async fn stop_for_transfer(&self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        self.instance().checkpoint(limit / 2).await.map_err(|e| failed(&e))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let stopped = postmaster::stop(&self.config.guard, ShutdownMode::Fast, left).await;
        stopped.map_err(|e| failed(&e))?;
        let end = self.instance().end_of_wal().await.map_err(|e| failed(&e))?;
        Ok(OpOutput::At(end))
    }

    pub(super) async fn freeze(&self) -> Ended {
        let position = self.instance().freeze(ms(FREEZE_MS_MAX)).await.map_err(|e| failed(&e))?;
        Ok(OpOutput::At(position))
    }

    pub(super) async fn fetch(&self, source: &ServerName, until: &Position, limit: Duration) -> Ended {
        let source = self.upstream(source, Slot::None)?;
        let fetched = self.instance().fetch(&source, until.flushed, limit).await;
        Ok(OpOutput::At(fetched.map_err(|e| failed(&e))?))
    }

    pub(super) async fn promote(&self, term: Term, timeline: TimelineId, limit: Duration) -> Ended {
        self.set_access(ClientAccess::Closed);
        let (instance, desired) = (self.instance(), self.desired()?);
        // The standbys that come next need their slots, and clients will be waiting for them. A promotion that fails ends in
        // a new start as a standby, which drops the slots.
        let (configured, ()) = tokio::join!(instance.configure(&desired), self.reconcile_slots());
        configured.map_err(|e| failed(&e))?;
        // Who is in already would be a writer from the promotion on, before anything says that writes may be confirmed.
        instance.end_client_sessions(ms(SESSIONS_END_MS_MAX)).await.map_err(|e| failed(&e))?;
        let client = self.config.guard.client().map_err(|e| failed(&e))?;
        let announced = client.promoting(guard_term(term), answer()).await;
        announced.map_err(|e| failed(&GuardLinkError::from(e)))?;
        let position = instance.promote(timeline, limit).await.map_err(|e| failed(&e))?;
        instance.prove_commits_wait(ms(SYNC_MS_MAX)).await.map_err(|e| failed(&e))?;
        Ok(OpOutput::Promoted(position.lineage))
    }

    pub(super) async fn open_clients(&self) -> Ended {
        self.set_access(ClientAccess::Open);
        self.instance().configure(&self.desired()?).await.map_err(|e| failed(&e))?;
        Ok(OpOutput::Nothing)
    }

    pub(super) async fn set_sync_standbys(&self, sync: &SyncStandbys) -> Ended {
        let set = self.instance().set_sync_standbys(&standbys(sync), ms(SYNC_MS_MAX)).await;
        let at = set.map_err(|e| failed(&e))?.loaded_at;
        Ok(at.map_or(OpOutput::Nothing, |at| OpOutput::Effective { at }))
    }

    pub(super) async fn repair(&self, source: &ServerName, reason: RepairReason) -> Ended {
        let upstream = self.upstream(source, self.slot_of(source))?;
        // First of all: whatever the copy holds, it may lack what the primary had before.
        let facts = self.source_facts(&upstream).await?;
        self.end_all().await?;
        let step = match reason {
            RepairReason::WalRemoved => RepairStep::Reclone(sb_pgrepl::RecloneReason::CannotRewind),
            RepairReason::NoData | RepairReason::Diverged | RepairReason::Unfinished => {
                repair_plan(&self.local_data().await?, &facts)
            }
            RepairReason::CannotStart => match repair_plan(&self.local_data().await?, &facts) {
                // In line as it seems, it would just be started again.
                RepairStep::Stream => RepairStep::Reclone(sb_pgrepl::RecloneReason::CannotStart),
                step @ (RepairStep::Rewind { .. } | RepairStep::Reclone(_) | RepairStep::Refuse(_)) => step,
            },
        };
        match step {
            RepairStep::Stream => {}
            RepairStep::Rewind { fork } => self.rewind(&upstream, &facts, fork).await?,
            RepairStep::Reclone(why) => {
                tracing::info!(?why, %source, "copying the database anew");
                self.clone_anew(&upstream, &facts).await?;
            }
            RepairStep::Refuse(why) => return Err(failed(&why)),
        }
        self.vain_starts.replaced();
        Ok(OpOutput::At(facts.position))
    }

    async fn rewind(
        &self,
        source: &Upstream,
        facts: &SourceFacts,
        fork: sb_pgtypes::Lsn,
    ) -> Result<(), OpFailure> {
        let instance = self.instance();
        let within = ms(REWIND_MS_MAX);
        match instance.rewind_from(source, facts.system_identifier, fork, within).await {
            Ok(rewound) => {
                let detail = format!("The WAL after {fork} is kept: {:?}", rewound.parked);
                let entry = Entry::new("repair.rewound", "the data directory was rewound").detail(detail);
                self.config.journal.record(entry);
                Ok(())
            }
            // What is on the disk is of no use any more: a clone is the way back.
            Err(
                error @ (RewindError::Unusable(_)
                | RewindError::WalPastFork { .. }
                | RewindError::Unfinished { .. }),
            ) => {
                tracing::warn!(error = %chain(&error), "could not rewind; copying anew");
                self.clone_anew(source, facts).await
            }
            // Nothing was changed: it may succeed the next time, and a copy of everything would be no better.
            Err(
                error @ (RewindError::Running { .. }
                | RewindError::Foreign { .. }
                | RewindError::Park(_)
                | RewindError::Source(_)
                | RewindError::File(_)
                | RewindError::ControlData(_)),
            ) => Err(failed(&error)),
        }
    }

    async fn clone_anew(&self, source: &Upstream, facts: &SourceFacts) -> Result<(), OpFailure> {
        let request = CloneRequest {
            source: source.clone(),
            system_identifier: facts.system_identifier,
            rate_kib_max: None,
            within: ms(CLONE_MS_MAX),
        };
        let parked = self.instance().clone_from(&request).await.map_err(|e| failed(&e))?;
        if let Some(path) = parked {
            let detail = format!("It is kept in {}.", path.display());
            self.config.journal.record(
                Entry::new("repair.parked", "the former data directory was set aside").detail(detail),
            );
        }
        Ok(())
    }

    /// The primary's cluster and lineage by the record, and the end of its log by its own word.
    async fn source_facts(&self, source: &Upstream) -> Result<SourceFacts, OpFailure> {
        let (timeline, flushed) =
            self.instance().source_position(source, ms(SOURCE_MS_MAX)).await.map_err(|e| failed(&e))?;
        let record = self.config.record.borrow();
        let view = &record.view;
        let unknown = || plain("the record does not know the database yet");
        let system_identifier = view.system_identifier.ok_or_else(unknown)?;
        let lineage = view.lineage.as_ref().ok_or_else(unknown)?.lineage.clone();
        if lineage.current() != timeline {
            let detail = format!(
                "`{}` writes on timeline {timeline}, the record knows {}",
                source.server,
                lineage.current()
            );
            return Err(OpFailure::Failed { detail });
        }
        Ok(SourceFacts { system_identifier, position: Position { lineage, flushed } })
    }

    /// After every start: what a start cannot know is found and taken back.
    async fn take_back(&self) -> Result<(), OpFailure> {
        let configured = self.instance().configure(&self.desired()?).await.map_err(|e| failed(&e))?;
        if !configured.taken_back.is_empty() {
            let detail = configured.taken_back.join(", ");
            let message = "settings that overrode the agent's were taken back";
            self.config.journal.record(Entry::new("postgres.taken_back", message).detail(detail));
        }
        Ok(())
    }

    async fn local_data(&self) -> Result<LocalData, OpFailure> {
        self.instance().local_data().await.map_err(|e| failed(&e))
    }

    async fn position(&self) -> Result<Position, OpFailure> {
        let mut observer = sb_pgrepl::Observer::new(self.instance().clone());
        let observed = observer.observe(ms(FREEZE_MS_MAX)).await;
        let position = observed.status().and_then(|status| status.position.clone());
        position.ok_or_else(|| plain("PostgreSQL does not tell its position"))
    }
}

fn standbys(sync: &SyncStandbys) -> sb_pgrepl::SyncStandbys {
    let count = u32::try_from(sync.number).expect("a cluster has a handful of servers");
    sb_pgrepl::SyncStandbys { count, members: sync.names.iter().cloned().collect() }
}

fn plain(detail: &str) -> OpFailure {
    OpFailure::Failed { detail: detail.to_owned() }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
