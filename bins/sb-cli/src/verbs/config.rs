use std::path::Path;

use sb_topology::{Problem, Severity, load_dir};
use serde::Serialize;

use crate::args::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::verbs::{Ended, write_json};

#[derive(Serialize)]
struct Found<'a> {
    problems: &'a [Problem],
}

/// Reports every problem of a configuration directory.
pub fn validate(directory: &Path, output: Output, terminal: &mut Terminal) -> Ended {
    let (problems, servers) = match load_dir(directory) {
        Ok(loaded) => (loaded.warnings, Some(loaded.topology.servers().count())),
        Err(problems) => (problems.as_slice().to_vec(), None),
    };
    match output {
        Output::Json => write_json(Found { problems: &problems }, terminal)?,
        Output::Table | Output::Wide => tell(&problems, terminal),
    }
    let servers = servers.ok_or_else(|| unusable(&format!("`{}`", directory.display()), &problems))?;
    if output != Output::Json {
        terminal.data(format!("`{}` describes {servers} servers and can be used.", directory.display()))?;
    }
    Ok(Exit::Done)
}

/// Tells every problem, an empty line after each.
pub fn tell(problems: &[Problem], terminal: &mut Terminal) {
    for problem in problems {
        terminal.talk(format!("{}\n", problem.to_string().trim_end()));
    }
}

/// What is left to say when the problems in `place` have been told.
pub fn unusable(place: &str, problems: &[Problem]) -> Failure {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let found = if errors == 1 { "there is 1 error".into() } else { format!("there are {errors} errors") };
    Failure::new(Exit::Failed, format!("{found} in {place}: nothing was changed"))
}
