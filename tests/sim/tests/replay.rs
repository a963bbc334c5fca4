//! A seed is the whole of a schedule.

use sb_sim::{Profile, Words, run};

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let profile = Profile::of_seed(7);
    let (first, second) = (run(7, &profile, Words::No), run(7, &profile, Words::No));
    assert_eq!((first.hash, first.events), (second.hash, second.events));
    assert_ne!(first.hash, run(16, &profile, Words::No).hash);
}
