//! `sb-agent run` is the agent of one server, `sb-agent guard` the process that is PostgreSQL's parent, `sb-agent
//! replay` plays what an agent has recorded.

mod arguments;
mod report;
mod signals;

use std::process::ExitCode;

use arguments::{Arguments, Command, Replay};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    report::log_to_stderr();
    let ended = match arguments.command {
        // The guard must be the only thread of its process.
        Command::Guard(guard) => sb_node::guard::run(guard.into_config()).map(|_| ()).map_err(report::guard),
        Command::Replay(replay) => play(&replay),
        Command::Run(run) => signals::until_told_to_stop(|stop| sb_node::run(run.into_config(), stop)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn play(replay: &Replay) -> Result<(), report::Failure> {
    let (shown, form) = replay.shown();
    let out = &mut std::io::BufWriter::new(std::io::stdout().lock());
    let played = sb_node::replay::replay(&replay.trace, shown, form, out);
    std::io::Write::flush(out).map_err(|error| report::output(&error))?;
    played.map(|summary| report::replayed(&summary)).map_err(|error| report::replay(&error))
}
