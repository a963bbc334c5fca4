//! `sb-cli lab`: a lab in the background, and the verbs that talk to it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::unistd::Uid;

use super::{LabArgs, LabCommand, complain};
use crate::control::{self, Answer, Answered, ControlError, Door, Phase, Request};
use crate::lab::Lab;
use crate::options::LabOptions;
use crate::place::Place;
use crate::serve::serve;
use crate::stage::{Inside, Stage, launch_detached};

/// Longest time until all sites are up.
const UP_LIMIT: Duration = Duration::from_secs(180);

/// Between two questions whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// The operation goes on, as the exit statuses of `sb-cli` have it.
const TIMED_OUT: u8 = 5;

/// The lab is not there, as the exit statuses of `sb-cli` have it.
const NOT_REACHED: u8 = 4;

/// Runs `sb-cli lab`. Call it before any thread is started, as [`run_demo`](super::run_demo).
#[must_use]
pub fn run_lab(args: LabArgs) -> ExitCode {
    match (Stage::now(), &args.command) {
        (_, LabCommand::Soak(soak)) => super::soak::run_soak(soak),
        (_, LabCommand::SoakSum(sum)) => super::soak::print_sum(sum),
        (Stage::Inside(inside), LabCommand::Up(args)) => run_inside(&inside, &args.options()),
        (_, LabCommand::Up(args)) => up(&args.options()),
        (_, LabCommand::Down) => ask(&Request::Down),
        (_, LabCommand::Status) => ask(&Request::Status),
        (_, LabCommand::Shell { place, command }) => shell(*place, command),
        (_, verb) => verb.fault().map_or(ExitCode::FAILURE, |fault| ask(&Request::Apply(fault))),
    }
}

fn up(options: &LabOptions) -> ExitCode {
    let socket = match control::listen() {
        Ok(socket) => socket,
        Err(error) => return unreachable(&error),
    };
    if let Err(error) = launch_detached(&socket, &options.storage) {
        return complain(&error, Some(error.hint()));
    }
    // Only the lab listens from here on: when it dies, callers are refused instead of kept waiting.
    drop(socket);
    eprintln!("{}: coming up", options.layout.described());
    let began = Instant::now();
    loop {
        match control::ask(&Request::Status).map(|answered| answered.answer) {
            Ok(Answer::Status { phase: Phase::Whole, lines }) => return welcome(&lines),
            Ok(Answer::Status { phase: Phase::Incomplete, lines }) if began.elapsed() > UP_LIMIT => {
                eprintln!("error: not all sites were up after {} s; the lab goes on", UP_LIMIT.as_secs());
                eprintln!("detail: Last seen:\n{}", lines.join("\n"));
                eprintln!("hint: Look again with sb-cli lab status, or end it with sb-cli lab down");
                return ExitCode::from(TIMED_OUT);
            }
            Ok(Answer::Refused { .. }) => {
                let refused = ask(&Request::Status);
                let _ = control::ask(&Request::Down);
                return refused;
            }
            Ok(_) => std::thread::sleep(LOOK_AGAIN),
            Err(error) => return unreachable(&error),
        }
    }
}

fn welcome(lines: &[String]) -> ExitCode {
    lines.iter().for_each(|line| println!("{line}"));
    eprintln!(
        "all sites are up. Try: sb-cli lab shell office psql; sb-cli lab kill ravena-1; sb-cli lab status"
    );
    ExitCode::SUCCESS
}

fn ask(request: &Request) -> ExitCode {
    match control::ask(request).map(|answered| answered.answer) {
        Ok(Answer::Status { lines, .. }) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Ok(Answer::Done(consequence)) => {
            eprintln!("{consequence}");
            ExitCode::SUCCESS
        }
        Ok(Answer::Refused { message, hint }) => {
            eprintln!("error: {message}");
            hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
            ExitCode::FAILURE
        }
        Ok(Answer::Door(_)) => ExitCode::FAILURE,
        Err(error) => unreachable(&error),
    }
}

fn unreachable(error: &ControlError) -> ExitCode {
    let _ = complain(error, Some(error.hint()));
    ExitCode::from(NOT_REACHED)
}

/// Becomes a shell inside: `nsenter` knows how, and every Debian has it.
fn shell(place: Place, command: &[String]) -> ExitCode {
    let (door, lab) = match control::ask(&Request::Door(place)) {
        Ok(Answered { answer: Answer::Door(door), lab }) => (door, lab),
        Ok(_) => return ask(&Request::Status),
        Err(error) => return unreachable(&error),
    };
    let error = enter(&door, lab, command).exec();
    complain(&error, Some("`nsenter` is part of the package util-linux."))
}

fn enter(door: &Door, lab: i32, command: &[String]) -> Command {
    let mut nsenter = Command::new("nsenter");
    nsenter.arg(format!("--target={lab}")).args(["--mount", "--pid", "--ipc"]);
    nsenter.arg(format!("--net=/proc/{lab}/fd/{}", door.namespace));
    if !Uid::effective().is_root() {
        nsenter.args(["--user", "--preserve-credentials"]);
    }
    nsenter.envs(door.environment.iter().map(|(name, value)| (name, value))).arg("--");
    match command {
        [] => nsenter.arg(std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())),
        command => nsenter.args(command),
    };
    nsenter
}

fn run_inside(inside: &Inside, options: &LabOptions) -> ExitCode {
    let root = match inside.mount() {
        Ok(root) => root,
        Err(error) => return complain(&error, Some(error.hint())),
    };
    let Some(socket) = inside.control() else { return ExitCode::FAILURE };
    if let Err(error) = inside.go_to_background(&root.join("lab.log")) {
        return complain(&error, None);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, None),
    };
    let served = runtime.block_on(async {
        let lab = Lab::build(&root, options);
        if let Ok(lab) = &lab {
            lab.switch_on();
        }
        serve(lab.as_ref(), socket).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, None),
    }
}
