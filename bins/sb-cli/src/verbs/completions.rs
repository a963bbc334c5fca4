use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::terminal::Terminal;
use crate::verbs::Ended;

pub fn run(shell: Shell, terminal: &mut Terminal) -> Ended {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sb-cli", &mut script);
    terminal.data(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
