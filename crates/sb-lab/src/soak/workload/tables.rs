//! The tables of the workload, and what a server holds in them.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::super::history::{Key, RowId};
use crate::place::Place;
use crate::recorder::{Access, AccessError};

/// How many accounts there are.
pub const ACCOUNTS: i32 = 12;

/// What each holds at the beginning.
pub const BALANCE: i64 = 1_000;

/// Longest time to make the tables, or to read one of them whole.
const LIMIT: Duration = Duration::from_secs(60);

/// No unique indexes but where the work needs one: a doubled row has to show.
const TABLES: &str = "
    drop table if exists soak_rows, soak_accounts, soak_transfers, soak_lists, soak_register;
    create table soak_rows (id bigint not null);
    create table soak_accounts (id int primary key, balance bigint not null);
    create table soak_transfers (id bigint not null, payer int not null, payee int not null, amount bigint not null);
    create table soak_lists (key bigint primary key, val text not null);
    create table soak_register (value bigint not null);
    insert into soak_register values (0)";

/// Everything that a server holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Rows of the set test, in order.
    pub rows: Vec<RowId>,
    /// Balance of every account.
    pub accounts: BTreeMap<i32, i64>,
    /// Transfers: id, payer, payee, amount; in order of the ids.
    pub transfers: Vec<(RowId, i32, i32, i64)>,
    /// Every list.
    pub lists: BTreeMap<Key, Vec<i64>>,
    /// The register.
    pub register: i64,
}

/// Makes the tables on a primary.
///
/// # Errors
/// When the server refuses.
pub async fn create(access: &Access, place: Place) -> Result<(), AccessError> {
    let mut session = access.connect_within(LIMIT, place).await?;
    let accounts =
        format!("insert into soak_accounts select id, {BALANCE} from generate_series(1, {ACCOUNTS}) id");
    for statement in [TABLES, accounts.as_str()] {
        let made = session.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)));
        made.await.map_err(|source| AccessError::Database { what: "create the tables", place, source })?;
    }
    Ok(())
}

/// Reads everything that a server holds.
///
/// # Errors
/// When it does not answer, or refuses.
pub async fn read(access: &Access, place: Place) -> Result<Contents, AccessError> {
    let mut session = access.connect_within(LIMIT, place).await?;
    match tokio::time::timeout(LIMIT, contents(&mut session)).await {
        Ok(read) => read.map_err(|source| AccessError::Database { what: "read the tables", place, source }),
        Err(_) => Err(AccessError::TimedOut { place, limit: LIMIT }),
    }
}

async fn contents(session: &mut PgConnection) -> Result<Contents, sqlx::Error> {
    // One moment for all tables, so that those of different servers can be compared.
    session.execute("begin isolation level repeatable read, read only").await?;
    let rows = session.fetch_all("select id from soak_rows order by id").await?;
    let accounts = session.fetch_all("select id, balance from soak_accounts").await?;
    let transfers =
        session.fetch_all("select id, payer, payee, amount from soak_transfers order by id").await?;
    let lists = session.fetch_all("select key, val from soak_lists").await?;
    let register = session.fetch_all("select value from soak_register").await?;
    session.execute("commit").await?;
    Ok(Contents {
        rows: rows.iter().map(|row| row.get(0)).collect(),
        accounts: accounts.iter().map(|row| (row.get(0), row.get(1))).collect(),
        transfers: transfers.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect(),
        lists: lists.iter().map(|row| (row.get(0), list(row.get(1)))).collect(),
        register: register.first().map_or(0, |row| row.get(0)),
    })
}

/// A list as the table holds it. What is no number becomes one that nobody has appended, so that a check sees it.
pub(super) fn list(text: &str) -> Vec<i64> {
    text.split(',').map(|value| value.parse().unwrap_or(i64::MIN)).collect()
}
