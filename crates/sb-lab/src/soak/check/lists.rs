//! List-append: the order of versions is read off the lists, and with it who depends on whom.
//!
//! The rules are those of Elle (Kingsbury, Alvaro: "Elle: Inferring Isolation Anomalies from Experimental
//! Observations"). Anti-dependencies count for transactions at REPEATABLE READ only: READ COMMITTED does not promise
//! that a read stays true. Cycles of two and more anti-dependencies are write skew, which both levels allow.

use std::collections::{BTreeMap, BTreeSet};

use super::Verdict;
use super::cycles::{components, reaches};
use crate::soak::history::{Action, History, Isolation, Key, Operation, Step};

type Lists = BTreeMap<Key, Vec<i64>>;

struct Transaction<'a> {
    operation: &'a Operation,
    isolation: Isolation,
    steps: &'a [Step],
}

/// Every anomaly of the list transactions against the lists of the survivor.
#[must_use]
pub fn check_lists(history: &History, survivor: &Lists) -> Vec<Verdict> {
    let transactions: Vec<_> = history.operations().iter().filter_map(transaction).collect();
    let writers = writers(&transactions);
    let mut verdicts = vec![
        lost(&transactions, survivor),
        orders(&transactions, survivor),
        internal(&transactions),
        aborted(&transactions, &writers, survivor),
        intermediate(&transactions, &writers),
    ];
    verdicts.extend(cyclic(&transactions, &writers, survivor));
    verdicts
}

fn transaction(operation: &Operation) -> Option<Transaction<'_>> {
    match &operation.action {
        Action::Lists { isolation, steps } => Some(Transaction { operation, isolation: *isolation, steps }),
        _ => None,
    }
}

/// Who appended a value. Values are unique.
fn writers(transactions: &[Transaction<'_>]) -> BTreeMap<i64, usize> {
    let appends = |(number, it): (usize, &Transaction<'_>)| {
        it.steps
            .iter()
            .filter_map(move |step| appended(step).map(|(_, value)| (value, number)))
            .collect::<Vec<_>>()
    };
    transactions.iter().enumerate().flat_map(appends).collect()
}

fn appended(step: &Step) -> Option<(Key, i64)> {
    match step {
        Step::Append { key, value } => Some((*key, *value)),
        Step::Read { .. } => None,
    }
}

/// The reads of transactions that are known to be committed.
fn reads<'a>(transactions: &'a [Transaction<'a>]) -> impl Iterator<Item = (usize, Key, &'a [i64])> + 'a {
    let committed = transactions.iter().enumerate().filter(|(_, it)| it.operation.is_ok());
    committed.flat_map(|(number, it)| {
        it.steps.iter().filter_map(move |step| match step {
            Step::Read { key, seen: Some(seen) } => Some((number, *key, seen.as_slice())),
            _ => None,
        })
    })
}

fn lost(transactions: &[Transaction<'_>], survivor: &Lists) -> Verdict {
    let mut verdict = Verdict::new("no acknowledged append is lost or doubled");
    let there: BTreeMap<Key, BTreeSet<i64>> =
        survivor.iter().map(|(key, list)| (*key, list.iter().copied().collect())).collect();
    for it in transactions.iter().filter(|it| it.operation.is_ok()) {
        for (key, value) in it.steps.iter().filter_map(appended) {
            verdict.look();
            if !there.get(&key).is_some_and(|list| list.contains(&value)) {
                verdict.violated(format!("{value} in list {key}, acknowledged at {:?}", it.operation.ended));
            }
        }
    }
    for (key, list) in survivor {
        if there[key].len() < list.len() {
            verdict.violated(format!("list {key} holds a value twice"));
        }
    }
    verdict
}

fn orders(transactions: &[Transaction<'_>], survivor: &Lists) -> Verdict {
    let mut verdict = Verdict::new("every read is a beginning of the list");
    for (number, key, seen) in reads(transactions) {
        verdict.look();
        if !survivor.get(&key).map_or(&[][..], Vec::as_slice).starts_with(seen) {
            let at = transactions[number].operation.ended;
            verdict
                .violated(format!("list {key} read at {at:?} is no beginning of the survivor's: {seen:?}"));
        }
    }
    verdict
}

/// A transaction sees what it has done itself; at REPEATABLE READ nothing else happens meanwhile.
fn internal(transactions: &[Transaction<'_>]) -> Verdict {
    let mut verdict = Verdict::new("a transaction agrees with itself");
    for it in transactions.iter().filter(|it| it.operation.is_ok()) {
        let (mut known, mut own): (Lists, Lists) = (Lists::new(), Lists::new());
        for step in it.steps {
            match step {
                Step::Append { key, value } => {
                    own.entry(*key).or_default().push(*value);
                    known.entry(*key).and_modify(|list| list.push(*value));
                }
                Step::Read { key, seen: Some(seen) } => {
                    verdict.look();
                    let own = own.get(key).map_or(&[][..], Vec::as_slice);
                    let fits = match (it.isolation, known.get(key)) {
                        (Isolation::RepeatableRead, Some(known)) => known == seen,
                        (Isolation::ReadCommitted, Some(known)) if own.is_empty() => seen.starts_with(known),
                        _ => seen.ends_with(own),
                    };
                    if !fits {
                        verdict.violated(format!("list {key} at {:?}: {seen:?}", it.operation.ended));
                    }
                    known.insert(*key, seen.clone());
                }
                Step::Read { seen: None, .. } => {}
            }
        }
    }
    verdict
}

/// G1a: what was rolled back, or never sent, is seen by nobody.
fn aborted(transactions: &[Transaction<'_>], writers: &BTreeMap<i64, usize>, survivor: &Lists) -> Verdict {
    let mut verdict = Verdict::new("nobody sees what was rolled back (G1a)");
    let last = survivor.iter().map(|(key, list)| (*key, list.as_slice()));
    for (key, seen) in reads(transactions).map(|(_, key, seen)| (key, seen)).chain(last) {
        verdict.look();
        for value in seen {
            match writers.get(value) {
                None => verdict.violated(format!("nobody appended {value}, which list {key} holds")),
                Some(writer) if transactions[*writer].operation.is_failed() => {
                    verdict.violated(format!("{value} was rolled back, and list {key} holds it"));
                }
                Some(_) => {}
            }
        }
    }
    verdict
}

/// G1b: nobody sees half a transaction.
fn intermediate(transactions: &[Transaction<'_>], writers: &BTreeMap<i64, usize>) -> Verdict {
    let mut verdict = Verdict::new("nobody sees the middle of a transaction (G1b)");
    for (reader, key, seen) in reads(transactions) {
        verdict.look();
        let Some((newest, writer)) = seen.last().and_then(|value| Some((*value, *writers.get(value)?)))
        else {
            continue;
        };
        let mut of_key = transactions[writer].steps.iter().filter_map(appended).filter(|(it, _)| *it == key);
        if writer != reader && of_key.next_back().is_some_and(|(_, last)| last != newest) {
            verdict.violated(format!("list {key} was seen at {newest}, before its writer was done"));
        }
    }
    verdict
}

/// Who depends on whom.
struct Edges {
    overwrites: Vec<Vec<usize>>,
    overwrites_and_reads: Vec<Vec<usize>>,
    /// A reader, and who overwrote what it read.
    overwritten: Vec<(usize, usize)>,
}

fn edges(transactions: &[Transaction<'_>], writers: &BTreeMap<i64, usize>, survivor: &Lists) -> Edges {
    let mut overwrites = vec![Vec::new(); transactions.len()];
    for list in survivor.values() {
        for pair in list.windows(2) {
            if let (Some(a), Some(b)) = (writers.get(&pair[0]), writers.get(&pair[1]))
                && a != b
            {
                overwrites[*a].push(*b);
            }
        }
    }
    let (mut both, mut overwritten) = (overwrites.clone(), Vec::new());
    for (reader, key, seen) in reads(transactions) {
        if let Some(writer) = seen.last().and_then(|value| writers.get(value))
            && *writer != reader
        {
            both[*writer].push(reader);
        }
        let next =
            survivor.get(&key).and_then(|list| list.get(seen.len())).and_then(|value| writers.get(value));
        if let Some(next) = next
            && *next != reader
            && transactions[reader].isolation == Isolation::RepeatableRead
        {
            overwritten.push((reader, *next));
        }
    }
    Edges { overwrites, overwrites_and_reads: both, overwritten }
}

fn cyclic(
    transactions: &[Transaction<'_>],
    writers: &BTreeMap<i64, usize>,
    survivor: &Lists,
) -> [Verdict; 3] {
    let edges = edges(transactions, writers, survivor);
    let tell = |members: &[usize]| {
        let times = members.iter().take(4).map(|number| transactions[*number].operation.invoked);
        format!("{} transactions, among them those of {:?}", members.len(), times.collect::<Vec<_>>())
    };
    let mut g0 = Verdict::new("no cycle of overwrites (G0)");
    let mut g1c = Verdict::new("no cycle of overwrites and reads (G1c)");
    let mut single = Verdict::new("no cycle with one anti-dependency at repeatable read (G-single)");
    for verdict in [&mut g0, &mut g1c, &mut single] {
        verdict.looked_at = transactions.len();
    }
    components(&edges.overwrites).iter().for_each(|members| g0.violated(tell(members)));
    components(&edges.overwrites_and_reads).iter().for_each(|members| g1c.violated(tell(members)));
    let mut all = edges.overwrites_and_reads.clone();
    edges.overwritten.iter().for_each(|(reader, writer)| all[*reader].push(*writer));
    let mut component = vec![None; transactions.len()];
    for (number, members) in components(&all).iter().enumerate() {
        members.iter().for_each(|member| component[*member] = Some(number));
    }
    for (reader, writer) in &edges.overwritten {
        let together = component[*reader].is_some() && component[*reader] == component[*writer];
        if together && reaches(&edges.overwrites_and_reads, *writer, *reader) {
            single.violated(tell(&[*reader, *writer]));
        }
    }
    [g0, g1c, single]
}

#[cfg(test)]
mod tests {
    use super::super::made::{append, failed, history, lists, read, unknown};
    use super::*;
    use crate::soak::history::Isolation::{ReadCommitted, RepeatableRead};
    use crate::soak::history::Outcome;

    /// The names of the checks that fail.
    fn broken(transactions: Vec<(Action, Outcome)>, survivor: &[(Key, &[i64])]) -> Vec<&'static str> {
        let survivor = survivor.iter().map(|(key, list)| (*key, list.to_vec())).collect();
        let verdicts = check_lists(&history(transactions), &survivor);
        verdicts.iter().filter(|verdict| !verdict.kept()).map(|verdict| verdict.check).collect()
    }

    fn ok(steps: &[Step]) -> (Action, Outcome) {
        (lists(RepeatableRead, steps), Outcome::Ok)
    }

    #[test]
    fn a_run_in_order_is_kept_whether_the_unknown_append_is_there_or_not() {
        let run = || {
            vec![
                ok(&[append(1, 10), read(1, &[10])]),
                ok(&[read(1, &[10]), append(1, 11), read(1, &[10, 11])]),
                (lists(ReadCommitted, &[append(1, 12)]), unknown()),
                (lists(ReadCommitted, &[append(1, 13)]), failed()),
            ]
        };
        assert_eq!(broken(run(), &[(1, &[10, 11])]), [""; 0]);
        assert_eq!(broken(run(), &[(1, &[10, 11, 12])]), [""; 0]);
    }

    #[test]
    fn lost_and_doubled_appends_are_noticed() {
        let lost = ["no acknowledged append is lost or doubled"];
        assert_eq!(broken(vec![ok(&[append(1, 10)]), ok(&[append(1, 11)])], &[(1, &[11])]), lost);
        assert_eq!(broken(vec![ok(&[append(1, 10)])], &[(1, &[10, 10])]), lost);
    }

    #[test]
    fn incompatible_orders_are_noticed() {
        let run = vec![ok(&[append(1, 10)]), ok(&[append(1, 11)]), ok(&[read(1, &[11])])];
        assert_eq!(broken(run, &[(1, &[10, 11])])[0], "every read is a beginning of the list");
    }

    #[test]
    fn a_transaction_that_disagrees_with_itself_is_noticed() {
        let own = vec![ok(&[append(1, 10), read(1, &[])])];
        assert!(broken(own, &[(1, &[10])]).contains(&"a transaction agrees with itself"));
        let moved = |isolation| {
            let reader = (lists(isolation, &[read(1, &[]), read(1, &[10])]), Outcome::Ok);
            broken(vec![ok(&[append(1, 10)]), reader], &[(1, &[10])])
        };
        assert!(moved(RepeatableRead).contains(&"a transaction agrees with itself"));
        assert_eq!(moved(ReadCommitted), [""; 0], "it may see what was committed meanwhile");
    }

    #[test]
    fn aborted_and_intermediate_reads_are_noticed() {
        let aborted = vec![(lists(ReadCommitted, &[append(1, 10)]), failed()), ok(&[read(1, &[10])])];
        assert_eq!(broken(aborted, &[(1, &[10])]), ["nobody sees what was rolled back (G1a)"]);
        let middle =
            vec![ok(&[append(1, 10), append(1, 11)]), (lists(ReadCommitted, &[read(1, &[10])]), Outcome::Ok)];
        assert_eq!(broken(middle, &[(1, &[10, 11])]), ["nobody sees the middle of a transaction (G1b)"]);
    }

    #[test]
    fn a_cycle_of_overwrites_is_noticed() {
        let run = vec![ok(&[append(1, 10), append(2, 20)]), ok(&[append(1, 11), append(2, 21)])];
        let broken = broken(run, &[(1, &[10, 11]), (2, &[21, 20])]);
        assert!(broken.contains(&"no cycle of overwrites (G0)"), "{broken:?}");
    }

    #[test]
    fn a_cycle_of_reads_is_noticed() {
        let run = vec![ok(&[append(1, 10), read(2, &[20])]), ok(&[append(2, 20), read(1, &[10])])];
        assert_eq!(broken(run, &[(1, &[10]), (2, &[20])]), ["no cycle of overwrites and reads (G1c)"]);
    }

    #[test]
    fn read_skew_is_noticed_at_repeatable_read_only() {
        let run = |isolation| {
            let reader = (lists(isolation, &[read(1, &[]), read(2, &[20])]), Outcome::Ok);
            broken(vec![ok(&[append(1, 10), append(2, 20)]), reader], &[(1, &[10]), (2, &[20])])
        };
        let skew = "no cycle with one anti-dependency at repeatable read (G-single)";
        assert_eq!(run(RepeatableRead), [skew]);
        assert_eq!(run(ReadCommitted), [""; 0]);
    }

    #[test]
    fn write_skew_is_allowed() {
        let run = vec![ok(&[read(1, &[]), append(2, 20)]), ok(&[read(2, &[]), append(1, 10)])];
        assert_eq!(broken(run, &[(1, &[10]), (2, &[20])]), [""; 0]);
    }
}
