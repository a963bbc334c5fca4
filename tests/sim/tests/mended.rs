//! Schedules that broke a rule once. What each showed has a test of its own where it was mended; these are the seeds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sb_sim::{Profile, Words, run};

const MENDED: &[(u64, &str)] = &[
    // A renewal proposed under a good deadline is carried out 3.7 s later.
    (726_925, "adversarial-sync"),
    (951_488, "three-sync"),
    // The promotion of a server that is lost comes on record when the others have reported.
    (729_565, "three-sync"),
    (864_804, "three-sync"),
    (867_825, "adversarial-failsafe-async"),
    (875_718, "witness-sync"),
    // The same makes a copy that is lost the last one.
    (732_335, "three-async"),
    // A member loses its promise to the holder with its directories, and takes over.
    (807_882, "adversarial-failsafe-async"),
    // A person names a server while those that have more stand by their promise to the holder.
    (838_719, "adversarial-failsafe-sync"),
    // A person helps after another request was taken back.
    (888_957, "adversarial-sync"),
];

#[test]
fn seeds_that_broke_a_rule_once_break_none() {
    for (seed, profile) in MENDED {
        let outcome = run(*seed, &Profile::named(profile).unwrap(), Words::No);
        assert_eq!(outcome.violation, None, "seed {seed} ({profile})");
    }
}
