//! `sb-cli lab soak`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::complain;
use crate::lab::Lab;
use crate::options::{Equipment, LabOptions, Storage};
use crate::soak::{SoakPlan, Soaked, Weather, run, sum};
use crate::stage::{Inside, Stage, launch_attended};

/// As a shell reports a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// Arguments of `sb-cli lab soak`.
#[derive(Debug, Clone, clap::Args)]
pub struct SoakArgs {
    /// How long faults go on
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Where faults and clients' questions come from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Seconds from one fault to the next, at least
    #[arg(long, default_value_t = 20)]
    pub every: u64,
    /// How many clients there are
    #[arg(long, default_value_t = 6)]
    pub clients: u32,
    /// Let faults overlap, two to four at a time, at most two voters under them
    #[arg(long)]
    pub harsh: bool,
    /// Write every operation to this file, and the lists as Jepsen's EDN beside it
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Write the numbers as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How the sites are built
    #[command(flatten)]
    pub lab: LabOptions,
}

/// Arguments of `sb-cli lab soak-sum`.
#[derive(Debug, Clone, clap::Args)]
pub struct SumArgs {
    /// Files that `--report` has written
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}

/// Prints the reports of several runs as a table, with their sums.
pub(super) fn print_sum(args: &SumArgs) -> ExitCode {
    let read = |path: &PathBuf| -> std::io::Result<sum::Told> {
        Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
    };
    let mut runs = Vec::new();
    for path in &args.reports {
        match read(path) {
            Ok(run) => runs.push(run),
            Err(error) => {
                let hint = format!(
                    "Give files that `sb-cli lab soak --report` wrote; `{}` is none.",
                    path.display()
                );
                return complain(&error, Some(&hint));
            }
        }
    }
    print!("{}", sum::table(&runs));
    ExitCode::SUCCESS
}

/// Runs it. Call it before any thread is started.
pub(super) fn run_soak(args: &SoakArgs) -> ExitCode {
    if args.lab.storage != Storage::Memory {
        eprintln!("error: a soak cannot run on `--storage DIR`");
        eprintln!("detail: Its disks are made full, and only those in memory can be.");
        eprintln!("hint: Leave `--storage` out.");
        return ExitCode::from(2);
    }
    match Stage::now() {
        Stage::Outside => {
            launch_attended(&args.lab.storage).unwrap_or_else(|error| complain(&error, Some(error.hint())))
        }
        Stage::Inside(inside) => run_inside(&inside, args),
    }
}

fn run_inside(inside: &Inside, args: &SoakArgs) -> ExitCode {
    let root = match inside.mount() {
        Ok(root) => root,
        Err(error) => return complain(&error, Some(error.hint())),
    };
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(play(inside, args, &root)),
        Err(error) => complain(&error, None),
    }
}

async fn play(inside: &Inside, args: &SoakArgs, root: &Path) -> ExitCode {
    let options = LabOptions { equipment: Equipment::Disks, ..args.lab.clone() };
    let lab = match Lab::build(root, &options) {
        Ok(lab) => lab,
        Err(error) => return complain(&error, error.hint().as_deref()),
    };
    let plan = SoakPlan {
        time: Duration::try_from_secs_f64(args.minutes * 60.0).unwrap_or_default(),
        every: Duration::from_secs(args.every),
        seed: args.seed,
        clients: args.clients,
        weather: if args.harsh { Weather::Storms } else { Weather::OneByOne },
    };
    let mut interrupt = inside.interrupt();
    let mut say = |line: &str| eprintln!("{line}");
    let played = tokio::select! {
        played = run(&lab, &options, plan, &mut say) => played,
        () = interrupt.pulled() => {
            eprintln!("interrupted; nothing is left behind");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match played {
        Ok(soaked) => conclude(&lab, args, &soaked),
        Err(error) => {
            let status = complain(&error, None);
            keep(&lab, None);
            status
        }
    }
}

fn conclude(lab: &Lab, args: &SoakArgs, soaked: &Soaked) -> ExitCode {
    soaked.report.lines().iter().for_each(|line| println!("{line}"));
    let written = args.history.as_deref().map_or(Ok(()), |path| soaked.write_history(path));
    let written = written.and_then(|()| match &args.report {
        None => Ok(()),
        Some(path) => std::fs::write(path, serde_json::to_string_pretty(&soaked.report)? + "\n"),
    });
    if let Err(error) = written {
        return complain(&error, Some("Check that the files of --history and --report can be written."));
    }
    if soaked.report.kept() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "error: a promise was broken; the same faults come again with --seed {}{}",
        args.seed,
        if args.harsh { " --harsh" } else { "" }
    );
    keep(lab, Some(soaked));
    ExitCode::FAILURE
}

/// Keeps all that is needed to find out why.
fn keep(lab: &Lab, soaked: Option<&Soaked>) {
    let kept = lab.keep_logs("soak").and_then(|kept| {
        let write = |soaked: &Soaked| soaked.write_history(&kept.join("history.jsonl"));
        soaked.map_or(Ok(()), write).map(|()| kept)
    });
    match kept {
        Ok(kept) => eprintln!("hint: Logs, journals and history are kept in {}", kept.display()),
        Err(error) => eprintln!("detail: Logs and history could not be kept: {error}"),
    }
}
