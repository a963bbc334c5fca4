use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use sb_topology::ServerName;
use serde::Deserialize;

use crate::session::Session;
use crate::{Instance, SqlError};

/// Longest part of a server's name in a slot's name, in bytes (`NAMEDATALEN` - 1 - `sb_`).
const SERVER_BYTES_MAX: usize = 60;

/// The name of the physical replication slot that an upstream keeps for one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotName(String);

impl SlotName {
    /// `sb_` and the server's name with `_` for `-`; of a name too long, its beginning and a hash of it all.
    #[must_use]
    pub fn for_server(server: &ServerName) -> Self {
        let name = server.as_str().replace('-', "_");
        if name.len() <= SERVER_BYTES_MAX {
            return Self(format!("sb_{name}"));
        }
        // FNV-1a: short, and the same in every version of this program.
        let hash = name
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self(format!("sb_{}_{hash:08x}", &name[..SERVER_BYTES_MAX - 9]))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What was done about the slots.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlotReport {
    /// Made.
    pub created: Vec<SlotName>,
    /// Dropped: their servers are members no more.
    pub dropped: Vec<SlotName>,
    /// Dropped and made again: they had lost WAL to the budget. Their servers may need a new clone.
    pub renewed: Vec<SlotName>,
    /// To be dropped, but in use.
    pub busy: Vec<SlotName>,
    /// Kept, but within a quarter of losing WAL to the budget.
    pub near_budget: Vec<SlotName>,
}

/// The slots are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum SlotsError {
    /// PostgreSQL did not answer well.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

/// Longest time for all of it.
const SLOTS_SECONDS_MAX: u64 = 10;

/// A slot of ours as PostgreSQL shows it.
#[derive(Deserialize)]
struct Present {
    name: String,
    active: bool,
    /// It has lost WAL to the budget and is of no use.
    lost: bool,
    /// Less than a quarter of the budget is left.
    near_budget: bool,
}

const PRESENT_SQL: &str = r"
    SELECT coalesce(json_agg(json_build_object(
        'name', slot_name, 'active', active, 'lost', coalesce(wal_status = 'lost', false),
        'near_budget', coalesce(safe_wal_size < 1048576 *
            (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size') / 4, false))), '[]')::text
    FROM pg_replication_slots WHERE slot_type = 'physical' AND starts_with(slot_name, 'sb_')";

impl Instance {
    /// Makes a slot for each of `members` but this server itself, and drops slots of ours for any other server. On a standby
    /// call it with no members: a former primary's slots would keep WAL that nobody comes for.
    ///
    /// # Errors
    /// When PostgreSQL refuses; what was done by then stays done.
    pub async fn reconcile_slots(&self, members: &[ServerName]) -> Result<SlotReport, SlotsError> {
        let mut session = self.session(Duration::from_secs(SLOTS_SECONDS_MAX)).await?;
        let present: Vec<Present> = session.json("list the slots", PRESENT_SQL).await?;
        let others = members.iter().filter(|member| **member != self.config().server);
        let mut missing: BTreeSet<_> = others.map(SlotName::for_server).collect();
        let mut report = SlotReport::default();
        for slot in present {
            let name = SlotName(slot.name.clone());
            match (missing.remove(&name), slot) {
                (true, Present { lost: true, active: false, .. }) => {
                    session
                        .execute("drop a slot", &format!("SELECT pg_drop_replication_slot('{name}')"))
                        .await?;
                    create(&mut session, &name).await?;
                    report.renewed.push(name);
                }
                (true, Present { near_budget: true, .. }) => report.near_budget.push(name),
                (true, Present { .. }) => {}
                (false, Present { active: true, .. }) => report.busy.push(name),
                (false, Present { active: false, .. }) => {
                    session
                        .execute("drop a slot", &format!("SELECT pg_drop_replication_slot('{name}')"))
                        .await?;
                    report.dropped.push(name);
                }
            }
        }
        for name in missing {
            create(&mut session, &name).await?;
            report.created.push(name);
        }
        Ok(report)
    }
}

/// It keeps WAL from now on, not only from its first use.
async fn create(session: &mut Session, name: &SlotName) -> Result<(), SqlError> {
    session
        .execute("make a slot", &format!("SELECT pg_create_physical_replication_slot('{name}', true)"))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_name_gives_a_slot_name_of_its_own() {
        let name = |text: String| SlotName::for_server(&ServerName::new(text).unwrap());
        assert_eq!(name("ravena-2".into()).as_str(), "sb_ravena_2");
        let (a, b) = (name("a".repeat(63)), name("a".repeat(62) + "b"));
        assert!(a != b && a.as_str().len() <= 63 && b.as_str().len() <= 63, "{a} {b}");
    }
}
