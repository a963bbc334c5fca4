//! `sb-cli demo`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::terminal::Terminal;
use super::{DemoArgs, complain};
use crate::demo::{Limits, Outcome, StoryError, play};
use crate::lab::Lab;
use crate::stage::{Inside, Stage, launch_attended};

/// As a shell reports a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Runs `sb-cli demo`. Call it before any thread is started: it starts the program again, with the same
/// arguments, inside namespaces of its own.
#[must_use]
pub fn run_demo(args: DemoArgs) -> ExitCode {
    match Stage::now() {
        Stage::Outside => {
            // Better to know now than after the story.
            if let Some(path) = &args.report
                && let Err(error) = std::fs::OpenOptions::new().create(true).append(true).open(path)
            {
                return complain(&error, Some(&report_hint(path)));
            }
            launch_attended(&args.lab.storage).unwrap_or_else(|error| complain(&error, Some(error.hint())))
        }
        Stage::Inside(inside) => run_inside(&inside, &args),
    }
}

fn run_inside(inside: &Inside, args: &DemoArgs) -> ExitCode {
    let root = match inside.mount() {
        Ok(root) => root,
        Err(error) => return complain(&error, Some(error.hint())),
    };
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(tell(inside, args, &root)),
        Err(error) => complain(&error, None),
    }
}

async fn tell(inside: &Inside, args: &DemoArgs, root: &Path) -> ExitCode {
    let mut interrupt = inside.interrupt();
    let lab = match Lab::build(root, &args.lab) {
        Ok(lab) => lab,
        Err(error) => return complain(&error, error.hint().as_deref()),
    };
    let mut screen = Terminal::detect();
    let told = tokio::select! {
        told = play(&lab, args.scenario, &args.lab, &mut screen, Limits::default()) => told,
        () = interrupt.pulled() => {
            eprintln!("interrupted; nothing is left behind");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match told {
        Ok(outcome) => conclude(&lab, args, &outcome),
        Err(error) => give_up(&lab, args, &error),
    }
}

fn conclude(lab: &Lab, args: &DemoArgs, outcome: &Outcome) -> ExitCode {
    println!();
    for line in outcome.report.lines() {
        println!("{line}");
    }
    if let Some(path) = &args.report
        && let Err(error) = write_report(path, outcome)
    {
        return complain(&error, Some(&report_hint(path)));
    }
    if outcome.kept {
        return ExitCode::SUCCESS;
    }
    let findings = &outcome.findings;
    eprintln!("error: `{}` durability was not kept", args.lab.durability);
    eprintln!(
        "detail: {} acknowledged writes are missing, {} rows are doubled, {} were never written.",
        findings.lost.len(),
        findings.duplicates.len(),
        findings.strangers.len()
    );
    say_where_the_logs_are(lab, args);
    ExitCode::FAILURE
}

fn report_hint(path: &Path) -> String {
    format!("Check that {} can be written.", path.display())
}

fn write_report(path: &Path, outcome: &Outcome) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(&outcome.report)?;
    text.push('\n');
    std::fs::write(path, text)
}

fn give_up(lab: &Lab, args: &DemoArgs, error: &StoryError) -> ExitCode {
    let status = complain(error, None);
    if let StoryError::TimedOut { seen, .. } = error {
        eprintln!("detail: Last seen:\n{seen}");
    }
    say_where_the_logs_are(lab, args);
    status
}

fn say_where_the_logs_are(lab: &Lab, args: &DemoArgs) {
    match lab.keep_logs(args.scenario.as_str()) {
        Ok(kept) => eprintln!("hint: The servers' logs are kept in {}", kept.display()),
        Err(error) => eprintln!("detail: The servers' logs could not be kept: {error}"),
    }
}
