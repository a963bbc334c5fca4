//! `./run sim`: runs schedules.

fn main() {
    for p in sb_sim::PROFILES {
        let mut all = sb_sim::Tally::default();
        for seed in 0..std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(5) {
            let o = sb_sim::run(seed, &sb_sim::Profile::named(p).unwrap(), sb_sim::Words::No);
            all.merge(&o.tally);
            if let Some(v) = o.violation { println!("{p} seed {seed} {v:?}"); }
        }
        println!("{p}:");
        for (k, v) in all.iter() { println!("    {k}: {v}"); }
    }
}
