//! `sb-cli`: watch, move and set up a cluster from a terminal.

use std::process::ExitCode;

fn main() -> ExitCode {
    sb_cli::run(std::env::args_os())
}
