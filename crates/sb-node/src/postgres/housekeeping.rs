//! What a primary does for the others, beside the failover machine: slots for every member, roles, passwords.

use std::sync::Arc;
use std::time::Duration;

use sb_client::state::Secrets;
use sb_failover::State;
use sb_pgrepl::SlotName;
use sb_topology::ServerName;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::desired::application;
use super::driver::{Driver, chain};
use crate::journal::Entry;
use crate::troubles::{Change, Topic};

/// How often a primary looks after its slots, in seconds; a change of the members or of the state is looked after
/// at once.
const ROUND_SECONDS: u64 = 5;

/// Pause after a round that failed, in milliseconds.
const RETRY_MS: u64 = 500;

/// The primary's standing work.
pub struct Housekeeping {
    driver: Driver,
    state: watch::Receiver<State>,
    roles_made: bool,
    /// What slots may keep by the settings in force, as far as it was looked at.
    budget_mib: Option<u64>,
    reported: Option<String>,
}

impl Housekeeping {
    /// Standing work that follows the machine's `state`.
    #[must_use]
    pub fn new(driver: Driver, state: watch::Receiver<State>) -> Self {
        Self { driver, state, roles_made: false, budget_mib: None, reported: None }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut record = self.driver.config.record.clone();
        loop {
            let state = *self.state.borrow_and_update();
            record.borrow_and_update();
            let pause = if writable(state) {
                self.round().await
            } else {
                self.budget_mib = None;
                Duration::from_secs(ROUND_SECONDS)
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.state.changed() => if changed.is_err() { return },
                changed = members_changed(&mut record) => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn round(&mut self) -> Duration {
        let done = self.look_after().await;
        match done {
            Ok(()) => {
                self.reported = None;
                Duration::from_secs(ROUND_SECONDS)
            }
            Err(detail) => {
                if self.reported.as_ref() != Some(&detail) {
                    tracing::warn!(%detail, "the primary's standing work did not succeed; it is tried again");
                    self.reported = Some(detail);
                }
                Duration::from_millis(RETRY_MS)
            }
        }
    }

    async fn look_after(&mut self) -> Result<(), String> {
        let driver = self.driver.clone();
        let _work = driver.work.lock().await;
        // The state may have moved while another operation held PostgreSQL.
        if !writable(*self.state.borrow()) {
            return Ok(());
        }
        self.follow_the_disk().await?;
        self.driver.reconcile_slots().await;
        if !self.roles_made && self.roles_are_due() {
            let secrets: &Secrets = &self.driver.config.secrets;
            let topology = &self.driver.config.topology;
            let application = application(topology, secrets.owner.expose()).map_err(|e| e.to_string())?;
            self.driver.instance().ensure_roles(&application).await.map_err(|e| chain(&e))?;
            self.roles_made = true;
        }
        Ok(())
    }

    /// What slots may keep falls and rises with the room that is left; a small change is not worth a reload.
    async fn follow_the_disk(&mut self) -> Result<(), String> {
        let desired = self.driver.desired().map_err(|e| e.to_string())?;
        let now = desired.slot_wal_mib_max;
        let in_force = *self.budget_mib.get_or_insert(now);
        if about_as_much(in_force, now) {
            return Ok(());
        }
        self.driver.instance().configure(&desired).await.map_err(|e| chain(&e))?;
        self.budget_mib = Some(now);
        let detail = format!("{now} MiB, {in_force} MiB before");
        let entry = Entry::new("slot.budget", "what slots may keep follows the room on the disk");
        self.driver.config.journal.record(entry.detail(detail));
        Ok(())
    }
}

/// Whether two budgets differ by less than a quarter.
const fn about_as_much(one: u64, other: u64) -> bool {
    4 * one >= 3 * other && 4 * other >= 3 * one
}

/// Whether PostgreSQL accepts writes of ours in this state.
const fn writable(state: State) -> bool {
    match state {
        State::Recording | State::Leading | State::Reopening => true,
        State::Starting
        | State::Waiting
        | State::Initializing
        | State::Repairing
        | State::Following
        | State::Freezing
        | State::Frozen
        | State::Fetching
        | State::Claiming
        | State::Elected
        | State::Promoting
        | State::Restarting
        | State::Draining
        | State::Fencing
        | State::Releasing
        | State::Parked
        | State::Witnessing => false,
    }
}

async fn members_changed(
    record: &mut watch::Receiver<sb_consensus::Applied<Arc<sb_failover::ClusterRecord>>>,
) -> Result<(), watch::error::RecvError> {
    let known: Vec<ServerName> = record.borrow().view.members.keys().cloned().collect();
    loop {
        record.changed().await?;
        if !record.borrow_and_update().view.members.keys().eq(known.iter()) {
            return Ok(());
        }
    }
}

impl Housekeeping {
    /// A promoted server has the roles of its predecessor, so they wait until clients are in. The founder's are what its
    /// first standbys come with, and strict durability lets nobody in before these.
    fn roles_are_due(&self) -> bool {
        let founding = self.driver.config.record.borrow().view.history.len() <= 1;
        founding || *self.state.borrow() == State::Leading
    }
}

impl Driver {
    /// Makes a slot for every other member with PostgreSQL and drops those of servers that are gone. A failure is
    /// not the caller's: the next round tries again.
    pub(super) async fn reconcile_slots(&self) {
        let me = &self.config.me.name;
        let members: Vec<ServerName> = {
            let record = self.config.record.borrow();
            let promotable = record.view.members.iter().filter(|(name, m)| m.promotable && *name != me);
            promotable.map(|(name, _)| name.clone()).collect()
        };
        match self.instance().reconcile_slots(&members).await {
            Ok(report) => {
                for slot in report.renewed {
                    let message = format!("the slot `{slot}` had lost WAL to its budget and was made anew");
                    let entry = Entry::new("slot.renewed", message);
                    self.config.journal.record(entry.detail("Its server may need a new copy."));
                }
                self.tell_near_budget(&report.near_budget);
            }
            Err(error) => tracing::warn!(error = %chain(&error), "could not look after the slots"),
        }
    }
    /// Before a slot is given up there is time to bring its server back.
    fn tell_near_budget(&self, slots: &[SlotName]) {
        let names: Vec<_> = slots.iter().map(|slot| format!("`{slot}`")).collect();
        let sentence = format!(
            "the log kept for {} is close to its budget: when that is used up, the slot is given up and its server \
             needs a new copy",
            names.join(", ")
        );
        let sentence = (!slots.is_empty()).then_some(sentence);
        match self.config.troubles.set(Topic::Slots, sentence.clone()) {
            Change::Began | Change::Differs => {
                tracing::warn!(slots = names.join(", "), "slots are close to losing their log to its budget");
                let entry = Entry::new("slot.near_budget", "a slot is close to being given up");
                self.config.journal.record(entry.detail(sentence.unwrap_or_default()));
            }
            Change::Ended | Change::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_set_anew_when_it_changed_by_a_quarter() {
        assert!(about_as_much(1_000, 1_000) && about_as_much(1_000, 1_300) && about_as_much(1_300, 1_000));
        assert!(!about_as_much(1_000, 1_400) && !about_as_much(1_000, 700));
    }
}
