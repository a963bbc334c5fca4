//! `sb-sim`: runs schedules by their seeds, and says which of them broke a rule.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use sb_sim::{Campaign, MUTANTS, PROFILES, Profile, Report, Results, SOURCE, Words, run};

/// After how many schedules the results file is brought up to date.
const CHECKPOINT_SCHEDULES: u64 = 2_000;

/// Whole clusters under faults, each schedule exactly repeatable from its seed.
#[derive(Debug, Parser)]
#[command(name = "sb-sim", version)]
struct Arguments {
    /// How many schedules.
    #[arg(long, default_value_t = 500)]
    schedules: u64,
    /// The first seed. Without it: where the results file ends, else one that the clock chooses.
    #[arg(long)]
    seed: Option<u64>,
    /// On this profile only; without it each seed falls on one.
    #[arg(long)]
    profile: Option<String>,
    /// With this rule broken on purpose; succeeds when that is noticed.
    #[arg(long)]
    mutant: Option<String>,
    /// How many schedules run at a time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Add the results to this file.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Tell everything that happens in the first schedule.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    match begin(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn begin(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let profile = profile(arguments)?;
    let mut results = arguments.results.as_deref().map(Results::read).transpose()?.unwrap_or_default();
    let from = match (arguments.seed, &arguments.results) {
        (Some(seed), _) => seed,
        (None, Some(_)) => results.next_seed(),
        (None, None) => std::time::UNIX_EPOCH.elapsed()?.as_secs() << 20,
    };
    if arguments.trace {
        let chosen = profile.clone().unwrap_or_else(|| Profile::of_seed(from));
        let outcome = run(from, &chosen, Words::Yes);
        print(&outcome.trace.join("\n"));
        say(&format!(
            "seed {from}, profile {}, hash {:016x}: {:?}",
            chosen.name, outcome.hash, outcome.violation
        ));
        return Ok(ExitCode::from(u8::from(outcome.violation.is_some())));
    }
    let mut all = Report::default();
    let (begun, mut done) = (now(), 0);
    while done < arguments.schedules {
        let schedules = CHECKPOINT_SCHEDULES.min(arguments.schedules - done);
        let campaign =
            Campaign { from: from + done, schedules, threads: arguments.threads, profile: profile.clone() };
        let (since, report) = (now(), campaign.run());
        let thread_seconds = since.elapsed().as_secs_f64() * arguments.threads as f64;
        report.failures.iter().for_each(|f| show(f, arguments.mutant.as_deref()));
        if let Some(path) = &arguments.results {
            results.add(from + done, schedules, thread_seconds, &report);
            results.write(path)?;
        }
        all.tally.merge(&report.tally);
        all.failures.extend(report.failures);
        done += schedules;
    }
    let thread_seconds = begun.elapsed().as_secs_f64() * arguments.threads as f64;
    conclude(arguments, from, &all, thread_seconds, &results);
    let expected = arguments.mutant.is_some();
    Ok(ExitCode::from(u8::from(all.failures.is_empty() == expected)))
}

/// How long schedules take is told, and decides nothing.
#[expect(clippy::disallowed_methods, reason = "this is the program around the simulation")]
fn now() -> Instant {
    Instant::now()
}

fn profile(arguments: &Arguments) -> anyhow::Result<Option<Profile>> {
    let known = |name: &String| {
        let hint = || anyhow::anyhow!("there is no profile `{name}`; there are: {}", PROFILES.join(", "));
        Profile::named(name).ok_or_else(hint)
    };
    let profile = arguments.profile.as_ref().map(known).transpose()?;
    let Some(name) = &arguments.mutant else {
        return Ok(profile);
    };
    let names = || MUTANTS.iter().map(|m| m.name).collect::<Vec<_>>().join(", ");
    let mutant = MUTANTS
        .iter()
        .find(|m| m.name == name)
        .ok_or_else(|| anyhow::anyhow!("there is no mutant `{name}`; there are: {}", names()))?;
    let chosen = profile.or_else(|| Profile::named(mutant.profile));
    Ok(chosen.map(|p| p.with(mutant.mutant)))
}

fn show(failure: &sb_sim::Failure, mutant: Option<&str>) {
    let (seed, profile, v) = (failure.seed, failure.profile, &failure.violation);
    say(&format!("seed {seed} ({profile}): {} at {} ms: {}", v.invariant, v.at_ms, v.what));
    let mutant = mutant.map(|m| format!(" --mutant {m}")).unwrap_or_default();
    say(&format!("  hint: ./run sim --seed {seed} --schedules 1 --profile {profile}{mutant} --trace"));
}

fn conclude(arguments: &Arguments, from: u64, all: &Report, thread_seconds: f64, results: &Results) {
    for (what, times) in all.tally.iter() {
        print(&format!("{times:>14}  {what}"));
    }
    let schedules = arguments.schedules;
    print(&format!(
        "{schedules} schedules, seeds {from} to {}, source {SOURCE}: {} broke a rule; {:.1} a second and thread",
        from + schedules.saturating_sub(1),
        all.failures.len(),
        schedules as f64 / thread_seconds
    ));
    if let Some(path) = &arguments.results {
        let (schedules, violations) = results.totals();
        print(&format!("{}: {schedules} schedules in all, {violations} broke a rule", path.display()));
    }
}

fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
