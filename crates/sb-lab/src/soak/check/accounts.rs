//! Transfers: money is moved, never made.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use crate::soak::history::{Action, History};
use crate::soak::workload::{ACCOUNTS, BALANCE, Contents};

/// Every read sees the same sum; at the end the balances are exactly those of the transfers that are there, which are
/// all that were acknowledged and none that was refused.
#[must_use]
pub fn check_accounts(history: &History, survivor: &Contents) -> Verdict {
    let mut verdict = Verdict::new("transfers conserve the sum");
    let total = i64::from(ACCOUNTS) * BALANCE;
    let mut balances: BTreeMap<i32, i64> = (1..=ACCOUNTS).map(|account| (account, BALANCE)).collect();
    let mut there = BTreeSet::new();
    for (id, payer, payee, amount) in &survivor.transfers {
        if !there.insert(*id) {
            verdict.violated(format!("transfer {id} is there twice"));
        }
        *balances.entry(*payer).or_default() -= amount;
        *balances.entry(*payee).or_default() += amount;
    }
    if balances != survivor.accounts {
        verdict
            .violated(format!("the transfers give {balances:?}, the accounts hold {:?}", survivor.accounts));
    }
    for operation in history.operations() {
        match &operation.action {
            Action::Accounts { sum: Some(sum) } if operation.is_ok() => {
                verdict.look();
                if *sum != total {
                    verdict.violated(format!("a read at {:?} saw {sum} instead of {total}", operation.ended));
                }
            }
            Action::Transfer { id, .. } if operation.is_ok() && !there.contains(id) => {
                verdict.violated(format!("transfer {id} was acknowledged and is lost"));
            }
            Action::Transfer { id, .. } if operation.is_failed() && there.contains(id) => {
                verdict.violated(format!("transfer {id} was refused and is there"));
            }
            Action::Transfer { .. } => verdict.look(),
            _ => {}
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::super::made::{failed, history};
    use super::*;
    use crate::soak::history::Outcome;

    fn example(sum: i64) -> History {
        let transfer = |id| Action::Transfer { id, from: 1, to: 2, amount: 5 };
        history(vec![
            (transfer(1), Outcome::Ok),
            (transfer(2), failed()),
            (Action::Accounts { sum: Some(sum) }, Outcome::Ok),
        ])
    }

    fn contents(transfers: &[i64], moved: i64) -> Contents {
        let mut accounts: BTreeMap<i32, i64> = (1..=ACCOUNTS).map(|account| (account, BALANCE)).collect();
        accounts.insert(1, BALANCE - moved);
        accounts.insert(2, BALANCE + moved);
        let transfers = transfers.iter().map(|id| (*id, 1, 2, 5)).collect();
        Contents { accounts, transfers, ..Contents::default() }
    }

    const TOTAL: i64 = 12_000;

    #[test]
    fn a_run_in_order_is_kept() {
        assert_eq!(check_accounts(&example(TOTAL), &contents(&[1], 5)).violations, 0);
    }

    #[test]
    fn another_sum_is_noticed() {
        assert_eq!(check_accounts(&example(TOTAL - 5), &contents(&[1], 5)).violations, 1);
    }

    #[test]
    fn a_lost_update_is_noticed_where_a_transfer_is_there_and_its_money_is_not() {
        assert_eq!(check_accounts(&example(TOTAL), &contents(&[1], 0)).violations, 1);
    }

    #[test]
    fn a_lost_a_refused_and_a_doubled_transfer_are_noticed() {
        assert_eq!(check_accounts(&example(TOTAL), &contents(&[], 0)).violations, 1);
        assert_eq!(check_accounts(&example(TOTAL), &contents(&[1, 2], 10)).violations, 1);
        assert_eq!(check_accounts(&example(TOTAL), &contents(&[1, 1], 10)).violations, 1);
    }
}
