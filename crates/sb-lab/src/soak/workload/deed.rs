//! Carries out one action in one session.

use std::cell::Cell;

use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row};

use super::super::history::{Action, Isolation, Step};
use super::judge::Progress;
use super::tables::list;

const APPEND: &str = "insert into soak_lists values ($1, $2::text)
    on conflict (key) do update set val = concat(soak_lists.val, ',', excluded.val)";

/// Carries an action out and fills in what was read. `progress` says how far it came, also when it is given up.
///
/// Rows are always read to the end of the answer: in a statement without a transaction around it the server commits
/// after it has sent them.
pub(super) async fn perform(
    session: &mut PgConnection,
    action: &mut Action,
    progress: &Cell<Progress>,
) -> Result<(), sqlx::Error> {
    match action {
        Action::Insert { id } => {
            progress.set(Progress::Committing);
            sqlx::query("insert into soak_rows values ($1)").bind(*id).execute(session).await?;
        }
        Action::Transfer { id, from, to, amount } => {
            session.execute("begin isolation level repeatable read").await?;
            transfer(session, *id, (*from, *to), *amount).await?;
            commit(session, progress).await?;
        }
        Action::Accounts { sum } => {
            let rows = session.fetch_all("select sum(balance)::bigint from soak_accounts").await?;
            *sum = rows.first().map(|row| row.get(0));
        }
        Action::Lists { isolation, steps } => {
            session.execute(begin(*isolation)).await?;
            for step in steps {
                take_step(session, step).await?;
            }
            commit(session, progress).await?;
        }
        Action::Increment { became } => {
            progress.set(Progress::Committing);
            let raised = "update soak_register set value = value + 1 returning value";
            *became = session.fetch_all(raised).await?.first().map(|row| row.get(0));
        }
        Action::Register { seen } => {
            let rows = session.fetch_all("select value from soak_register").await?;
            *seen = rows.first().map(|row| row.get(0));
        }
    }
    Ok(())
}

/// Gives up what a failed statement has left open.
pub(super) async fn roll_back(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    session.execute("rollback").await.map(drop)
}

fn begin(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "begin isolation level read committed",
        Isolation::RepeatableRead => "begin isolation level repeatable read",
    }
}

async fn commit(session: &mut PgConnection, progress: &Cell<Progress>) -> Result<(), sqlx::Error> {
    progress.set(Progress::Committing);
    session.execute("commit").await.map(drop)
}

/// Reads, computes and writes: only isolation keeps the sum, not one statement's arithmetic.
async fn transfer(
    session: &mut PgConnection,
    id: i64,
    (from, to): (i32, i32),
    amount: i64,
) -> Result<(), sqlx::Error> {
    let mut balances = [0; 2];
    for (balance, account) in balances.iter_mut().zip([from, to]) {
        let read = sqlx::query("select balance from soak_accounts where id = $1").bind(account);
        *balance = read.fetch_one(&mut *session).await?.get(0);
    }
    let after = [balances[0] - amount, balances[1] + amount];
    for (balance, account) in after.iter().zip([from, to]) {
        let write = sqlx::query("update soak_accounts set balance = $2 where id = $1");
        write.bind(account).bind(balance).execute(&mut *session).await?;
    }
    let note = sqlx::query("insert into soak_transfers values ($1, $2, $3, $4)");
    note.bind(id).bind(from).bind(to).bind(amount).execute(session).await.map(drop)
}

async fn take_step(session: &mut PgConnection, step: &mut Step) -> Result<(), sqlx::Error> {
    match step {
        Step::Append { key, value } => {
            sqlx::query(APPEND).bind(*key).bind(value.to_string()).execute(session).await?;
        }
        Step::Read { key, seen } => {
            let read = sqlx::query("select val from soak_lists where key = $1").bind(*key);
            let rows = read.fetch_all(session).await?;
            *seen = Some(rows.first().map(|row| list(row.get(0))).unwrap_or_default());
        }
    }
    Ok(())
}
