//! A seed is the whole of a schedule, in whatever process it runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::{Command, Output};

use sb_sim::{PROFILES, Profile, Words, run};

fn traced(seed: &str, profile: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_sb-sim");
    Command::new(program).args(["--trace", "--seed", seed, "--profile", profile]).output().unwrap()
}

#[test]
fn two_processes_tell_the_same_story_of_one_seed() {
    for profile in ["sites-sync", "adversarial-failsafe-async"] {
        let (first, second) = (traced("7", profile), traced("7", profile));
        assert!(first.stdout.len() > 10_000, "{}", String::from_utf8_lossy(&first.stderr));
        assert_eq!(first.stdout, second.stdout, "{profile}");
        assert_eq!(first.stderr, second.stderr, "the hash over everything that happened: {profile}");
    }
}

#[test]
fn telling_what_happens_changes_nothing() {
    for profile in PROFILES {
        let profile = Profile::named(profile).unwrap();
        let (quiet, told) = (run(11, &profile, Words::No), run(11, &profile, Words::Yes));
        assert_eq!((quiet.hash, quiet.events), (told.hash, told.events), "{}", profile.name);
    }
}

#[test]
fn another_seed_is_another_story() {
    let profile = Profile::named("sites-sync").unwrap();
    assert_ne!(run(7, &profile, Words::No).hash, run(8, &profile, Words::No).hash);
}
