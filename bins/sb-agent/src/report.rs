//! What the programs say: logs, and why they could not run.
#![allow(clippy::print_stderr, reason = "the one place where this program talks to a person")]

use sb_node::AgentError;
use sb_node::guard::GuardError;
use sb_node::mesh::{KeyFileError, TunnelError};
use sb_node::replay::{ReplayError, Summary};
use tracing_subscriber::EnvFilter;

/// Why a program ended.
#[derive(Debug)]
pub struct Failure {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

/// Logs at `info`, or as `SB_LOG` says. Time stamps are left to the journal that reads them.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("SB_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}

/// The guard's failure.
pub fn guard(error: GuardError) -> Failure {
    Failure { message: chain(&error), detail: None, hint: None }
}

/// The agent's failure.
pub fn agent(error: AgentError) -> Failure {
    Failure { message: chain(&error), detail: error.detail(), hint: error.hint() }
}

/// A failure of the program's own surroundings.
pub fn system(error: &std::io::Error) -> Failure {
    Failure { message: format!("could not start: {error}"), detail: None, hint: None }
}

/// A trace of which nothing could be played.
pub fn replay(error: &ReplayError) -> Failure {
    Failure { message: chain(error), detail: None, hint: None }
}

/// The server's WireGuard key cannot be had.
pub fn mesh_key(error: &KeyFileError) -> Failure {
    let hint = match error {
        KeyFileError::Missing { .. } => None,
        KeyFileError::File { .. } => Some("Run it as the user that the agent runs as.".to_owned()),
        KeyFileError::Damaged { path, .. } => {
            Some(format!("Put the key back, or remove `{}` to make a new one.", path.display()))
        }
        KeyFileError::Open { path, .. } => {
            Some(format!("Take it as known to others: remove `{}` to make a new one.", path.display()))
        }
    };
    Failure { message: chain(error), detail: None, hint }
}

/// A tunnel that cannot be brought up.
pub fn tunnel(error: &TunnelError) -> Failure {
    let hint = match error {
        TunnelError::Upkeep(_) => Some("It needs root, or the capability NET_ADMIN, and /dev/net/tun."),
        TunnelError::Unsupported { .. } => Some("wg-quick(8) takes every file of this kind."),
        TunnelError::File { .. }
        | TunnelError::Problems { .. }
        | TunnelError::Name { .. }
        | TunnelError::Peer(_) => None,
    };
    Failure { message: chain(error), detail: None, hint: hint.map(str::to_owned) }
}

/// What was played, on stderr: stdout is the steps.
///
/// # Errors
/// When a segment came to something else, or could not be played; every such segment is said.
pub fn replayed(summary: &Summary) -> Result<(), Failure> {
    let Summary { segments, steps, missing, torn, panics, failures } = summary;
    eprintln!("{steps} steps of {segments} segments replayed");
    if *missing > 0 {
        eprintln!("at least {missing} steps are missing: the disk did not take them");
    }
    if *torn > 0 {
        eprintln!("{torn} segments end in the middle of a step: the agent was killed there");
    }
    if *panics > 0 {
        eprintln!("{panics} segments end with a panic of the machine, here as when they were recorded");
    }
    let Some(((first, others), count)) = failures.split_first().zip(Some(failures.len())) else {
        return Ok(());
    };
    let message = match count {
        1 => chain(first),
        _ => format!(
            "{count} segments could not be replayed as they were recorded; the first: {}",
            chain(first)
        ),
    };
    let detail = others.iter().map(|other| chain(other)).collect::<Vec<_>>().join("\n  ");
    let hint =
        "Replay with the sb-agent that recorded it; when that diverges too, keep the trace.".to_owned();
    Err(Failure { message, detail: (!detail.is_empty()).then_some(detail), hint: Some(hint) })
}

/// What was to be printed could not be.
pub fn output(error: &std::io::Error) -> Failure {
    Failure { message: format!("could not write: {error}"), detail: None, hint: None }
}

/// Prints a failure.
pub fn failure(failure: &Failure) {
    eprintln!("error: {}", failure.message);
    for (label, text) in [("detail", &failure.detail), ("hint", &failure.hint)] {
        if let Some(text) = text {
            eprintln!("{label}: {text}");
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
