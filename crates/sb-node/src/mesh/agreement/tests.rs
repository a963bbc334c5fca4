use std::path::Path;

use sb_wireguard::PublicKey;
use sb_wireguard::relay::{Pair, RelayPlan};

use super::*;

fn line(dir: &Path) -> (AgreementLine, Arc<Journal>) {
    let layout = Layout::new(dir.into(), dir.into(), dir.into());
    let journal = Arc::new(Journal::open(&layout.journal_file(), "ravena-1").unwrap());
    (AgreementLine::open(&layout, journal.clone(), Arc::default()), journal)
}

/// An agreement that says by its relays' generation which one it is.
fn told(branch: u64, generation: u64) -> MeshAgreement {
    let name = |name: &str| name.parse().unwrap();
    let pair = Pair::new(&name("tucson-1"), &name("burlington-1"));
    let relays = RelayPlan::known(100 * branch + generation, [(pair, name("ravena-1"))]);
    let document = Agreed { relays, ..Agreed::default() }.to_document();
    MeshAgreement { branch, generation, document }
}

fn in_force(line: &AgreementLine) -> u64 {
    line.watch().borrow().agreed.relays.generation
}

fn journalled(journal: &Journal) -> Vec<String> {
    journal.since(0, 10).into_iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn an_older_word_changes_nothing_and_a_recovered_store_wins() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, _) = line(dir.path());
    for (branch, generation, then) in [(0, 3, 3), (0, 2, 3), (0, 3, 3), (1, 2, 102), (0, 9, 102)] {
        line.learn(told(branch, generation)).await;
        assert_eq!(in_force(&line), then, "after {branch}/{generation}");
    }
}

#[tokio::test]
async fn what_was_acted_on_is_known_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    line(dir.path()).0.learn(told(1, 4)).await;
    let (again, _) = line(dir.path());
    assert_eq!(again.watch().borrow().told, told(1, 4));
    assert_eq!(in_force(&again), 104);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_acted_on_and_people_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, journal) = line(dir.path());
    let gone = dir.path().join("gone");
    line.copy = gone.join("mesh.json");
    for _ in 0..2 {
        line.learn(told(0, 1)).await;
        assert_eq!(in_force(&line), 0);
        assert!(line.troubles.sentences()[0].contains("not followed here"));
    }
    assert_eq!(journalled(&journal), ["mesh.agreement_unwritable"], "it is told once");
    std::fs::create_dir(&gone).unwrap();
    line.learn(told(0, 1)).await;
    assert_eq!(in_force(&line), 1, "the next word brings it again");
    assert!(line.troubles.sentences().is_empty());
}

#[tokio::test]
async fn an_agreement_that_cannot_be_read_leaves_the_last_good_one_and_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, journal) = line(dir.path());
    line.learn(told(0, 1)).await;
    let broken = MeshAgreement { document: "{".into(), ..told(0, 2) };
    line.learn(broken.clone()).await;
    line.learn(broken).await;
    assert_eq!(in_force(&line), 1);
    let long = MeshAgreement { document: " ".repeat(MESH_BYTES_MAX + 1), ..told(0, 3) };
    line.learn(long).await;
    assert_eq!(journalled(&journal), ["mesh.agreement_unreadable", "mesh.agreement_unreadable"]);
    line.learn(told(0, 4)).await;
    assert_eq!(in_force(&line), 4);
}

#[test]
fn a_damaged_copy_is_told_and_does_not_keep_the_mesh_down() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path().into(), dir.path().into(), dir.path().into());
    std::fs::write(layout.mesh_agreement_file(), "{\"branch\":").unwrap();
    let (line, journal) = line(dir.path());
    assert_eq!(in_force(&line), 0);
    assert_eq!(journalled(&journal), ["mesh.agreement_lost"]);
}

/// An agreement by which `tucson-1` has replaced its key so often.
fn with_key(branch: u64, generation: u64, replaced: u8) -> MeshAgreement {
    let tucson: sb_topology::ServerName = "tucson-1".parse().unwrap();
    let agreed = Agreed {
        keys: [(tucson.clone(), PublicKey::from_bytes([replaced; 32]))].into(),
        replacements: [(tucson, replaced.into())].into(),
        ..Agreed::default()
    };
    MeshAgreement { branch, generation, document: agreed.to_document() }
}

fn key_in_force(line: &AgreementLine) -> PublicKey {
    line.watch().borrow().agreed.keys[&"tucson-1".parse().unwrap()]
}

fn record(branch: u64, generation: u64, document: &str) -> ClusterRecord {
    let mut record = ClusterRecord::default();
    record.branch.generation = branch;
    record.mesh = sb_failover::record::MeshRecord { generation, document: document.into() };
    record
}

#[tokio::test]
async fn a_recovered_store_that_is_older_than_a_rotation_does_not_bring_the_deleted_key_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, _) = line(dir.path());
    line.learn(with_key(0, 7, 2)).await;
    let recovered = record(1, 3, &with_key(1, 3, 1).document);
    line.learn_of_record(&recovered).await;
    let known = line.watch().borrow().clone();
    assert_eq!(rank(&known.told), (1, 3), "its relays count");
    assert_eq!(key_in_force(&line), PublicKey::from_bytes([2; 32]), "the key that the server has");
    assert_eq!(known.lacking(&recovered), Lacking::Keys, "which is to be on the record");
    assert_eq!(known.lacking(&record(1, 3, &known.told.document)), Lacking::Nothing);
}

#[tokio::test]
async fn a_key_is_learned_from_a_word_of_an_older_store() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, _) = line(dir.path());
    line.learn(with_key(1, 3, 1)).await;
    line.learn(with_key(0, 7, 2)).await;
    assert_eq!(key_in_force(&line), PublicKey::from_bytes([2; 32]));
    assert_eq!(rank(&line.watch().borrow().told), (1, 3));
}

#[tokio::test]
async fn a_record_that_has_gone_back_is_told_when_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut line, journal) = line(dir.path());
    line.learn(told(0, 5)).await;
    let (restored, begun) = (record(0, 2, &told(0, 2).document), Instant::now());
    let after = |ms| begun + Duration::from_millis(ms);
    for ms in [0, BEHIND_MS_MIN - 1] {
        line.tell_of(&restored, after(ms));
        assert!(line.troubles.sentences().is_empty(), "this server's replica may be late");
    }
    line.tell_of(&restored, after(BEHIND_MS_MIN));
    line.tell_of(&restored, after(2 * BEHIND_MS_MIN));
    assert_eq!(line.troubles.sentences().len(), 1);
    assert_eq!(journalled(&journal), ["mesh.behind"]);
    line.tell_of(&record(0, 5, &told(0, 5).document), after(2 * BEHIND_MS_MIN));
    assert!(line.troubles.sentences().is_empty());
    line.tell_of(&restored, after(2 * BEHIND_MS_MIN + 1));
    assert!(line.troubles.sentences().is_empty(), "it begins anew");
}

#[test]
fn an_agreement_of_another_store_is_not_that_of_the_record() {
    let known = Known::read(told(2, 1)).unwrap();
    assert_eq!(known.lacking(&record(1, 9, "")), Lacking::Store);
    assert_eq!(known.lacking(&record(3, 0, "")), Lacking::Nothing, "this server learns of it");
}
