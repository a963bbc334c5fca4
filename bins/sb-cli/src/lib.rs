//! The parts of `sb-cli`: arguments, the way to an agent, one module a verb, and one place where errors are
//! printed.
//!
//! Data goes to stdout, talk to stderr. The exit status is an `Exit`, a contract with scripts.

mod answers;
mod args;
mod confirm;
mod connection;
mod example;
mod exit;
mod failure;
mod passphrase;
mod ssh;
mod table;
mod terminal;
mod units;
mod verbs;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Cli;
use crate::exit::Exit;
use crate::terminal::Terminal;

/// Runs `sb-cli` with these arguments, the program's name first, on this process's terminal.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut terminal = Terminal::of_this_process();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(talk) => return terminal.usage(&talk).into(),
    };
    match verbs::run(cli, &mut terminal) {
        Ok(exit) => exit,
        Err(failure) => {
            terminal.failure(&failure);
            Exit::from(failure).into()
        }
    }
}
