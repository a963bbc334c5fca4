//! A crash after every step of a recovery, and in the middle of every write.

use std::fs;
use std::path::Path;

use crate::replica::{Disk, DiskContent, EntryBody, LogEntry, Position, Record, Snapshot};
use crate::{Member, Membership};

use super::recovery::{NewFiles, Step};
use super::{Directory, FileDisk, holds_log};

const CLUSTER: &str = "cluster";
const NAME: &str = "a";

/// A member with a snapshot and one entry after it.
fn old_content(dir: &Path) -> DiskContent {
    let directory = Directory::open(dir).unwrap();
    let id = directory.identify(CLUSTER, NAME).unwrap().id;
    let content = DiskContent::bootstrap(group(id), Vec::new(), b"old".to_vec());
    let mut disk = FileDisk::create(directory, &content).unwrap();
    let entry = LogEntry { index: 2, term: 1, body: EntryBody::Empty };
    disk.append(&Record { base: None, ballot: content.ballot, entries: vec![entry] }).unwrap();
    drop(disk);
    read(dir)
}

fn group(id: crate::MemberId) -> Membership {
    Membership::single(Member { id, name: NAME.into(), address: "a:1".into() })
}

fn read(dir: &Path) -> DiskContent {
    FileDisk::open(Directory::open(dir).unwrap()).unwrap().1
}

/// What the directory is to become.
fn new_content(dir: &Path) -> (DiskContent, NewFiles) {
    let directory = Directory::open(dir).unwrap();
    let (id, identity) = directory.identity().unwrap().successor();
    let position = Position { index: 3, term: 2 };
    let ballot = crate::replica::Ballot { term: 2, vote: None, commit: 3 };
    let snapshot =
        Snapshot { position, membership: group(id), sessions: Vec::new(), machine: b"new".to_vec() };
    let content = DiskContent { snapshot: Some(snapshot), base: position, ballot, entries: Vec::new() };
    let files = FileDisk::files(&content, serde_json::to_vec(&identity).unwrap()).unwrap();
    (content, files)
}

/// Performs the first `count` steps of a whole recovery; how many there are when `count` is none.
fn steps(dir: &Path, files: NewFiles, count: Option<usize>) -> usize {
    let directory = Directory::open(dir).unwrap();
    let mut done = 0;
    let going = |done: usize| count.is_none_or(|count| done < count);
    for step in files.steps() {
        if !going(done) {
            return done;
        }
        directory.perform(&step).unwrap();
        done += 1;
    }
    while let Some(step) = directory.next_step().unwrap().filter(|_| going(done)) {
        directory.perform(&step).unwrap();
        done += 1;
    }
    done
}

/// Steps up to and with the one from which a recovery counts.
const STEPS_TO_COMMIT: usize = 5;

#[test]
fn a_crash_after_any_step_leaves_the_directory_as_before_or_as_after() {
    let whole = tempfile::tempdir().unwrap();
    old_content(whole.path());
    let (_, files) = new_content(whole.path());
    let all = steps(whole.path(), files, None);
    assert!(all > STEPS_TO_COMMIT + 2 * 3, "{all} steps leave nothing to crash between");
    for count in 0..=all {
        let dir = tempfile::tempdir().unwrap();
        let old = old_content(dir.path());
        let (new, files) = new_content(dir.path());
        steps(dir.path(), files, Some(count));
        assert!(holds_log(dir.path()), "after step {count} nothing tells of the member that was here");
        let expected = if count < STEPS_TO_COMMIT { &old } else { &new };
        assert_eq!(read(dir.path()), *expected, "after step {count}");
        assert_eq!(read(dir.path()), *expected, "after step {count}, opened twice");
    }
}

#[test]
fn a_crash_while_rolling_forward_is_rolled_forward_again() {
    let dir = tempfile::tempdir().unwrap();
    old_content(dir.path());
    let (new, files) = new_content(dir.path());
    steps(dir.path(), files, Some(STEPS_TO_COMMIT));
    // Each start gets one step further than the one before.
    while dir.path().join("recovery").exists() {
        let directory =
            Directory { path: dir.path().to_path_buf(), _lock: fs::File::open("/dev/null").unwrap() };
        directory.perform(&directory.next_step().unwrap().unwrap()).unwrap();
    }
    assert_eq!(read(dir.path()), new);
}

#[test]
fn a_crash_in_the_middle_of_a_write_changes_nothing_and_the_next_attempt_succeeds() {
    for torn in ["log", "snapshot", "identity.json"] {
        let dir = tempfile::tempdir().unwrap();
        let old = old_content(dir.path());
        let (_, files) = new_content(dir.path());
        steps(dir.path(), files, Some(STEPS_TO_COMMIT - 1));
        let path = dir.path().join("recovery.new").join(torn);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(read(dir.path()), old, "{torn}");
        let (new, files) = new_content(dir.path());
        Directory::open(dir.path()).unwrap().replace_all(files).unwrap();
        assert_eq!(read(dir.path()), new, "{torn}");
    }
}

#[test]
fn the_old_files_are_kept_under_the_old_id() {
    let dir = tempfile::tempdir().unwrap();
    old_content(dir.path());
    let before = ["log", "snapshot"].map(|name| fs::read(dir.path().join(name)).unwrap());
    let old = Directory::open(dir.path()).unwrap().identity().unwrap().member;
    let (_, files) = new_content(dir.path());
    Directory::open(dir.path()).unwrap().replace_all(files).unwrap();
    let aside = dir.path().join(format!("before-{old}"));
    let kept = ["log", "snapshot"].map(|name| fs::read(aside.join(name)).unwrap());
    assert_eq!(kept, before);
    let now = Directory::open(dir.path()).unwrap().identify(CLUSTER, NAME).unwrap();
    assert_ne!(now.id.to_string(), old);
    assert_eq!(now.start, 1);
}

#[test]
fn the_first_step_clears_what_an_attempt_before_has_left() {
    let dir = tempfile::tempdir().unwrap();
    old_content(dir.path());
    let prepared = dir.path().join("recovery.new");
    fs::create_dir(&prepared).unwrap();
    fs::write(prepared.join("log"), "half").unwrap();
    Directory::open(dir.path()).unwrap().perform(&Step::Clear).unwrap();
    assert_eq!(fs::read_dir(prepared).unwrap().count(), 0);
}
