use sb_api::{Operation, OperationState, StepState};
use sb_client::Client;
use serde::Serialize;

use crate::args::{OpsArgs, OpsCommand, Output};
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Colour, Terminal};
use crate::units;
use crate::verbs::{Ended, write_json};

#[derive(Serialize)]
struct Operations<'a> {
    operations: &'a [Operation],
}

pub async fn run(args: OpsArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    match args.command.unwrap_or(OpsCommand::List) {
        OpsCommand::List => {
            let operations = client.operations().await?;
            match output {
                Output::Json => write_json(Operations { operations: &operations }, terminal)?,
                Output::Table | Output::Wide if operations.is_empty() => {
                    terminal.talk("This agent remembers no operation.");
                }
                Output::Table | Output::Wide => terminal.data(list(&operations, terminal.colour()))?,
            }
        }
        OpsCommand::Show { id } => {
            let operation = client.operation(&id).await?;
            match output {
                Output::Json => write_json(&operation, terminal)?,
                Output::Table | Output::Wide => terminal.data(page(&operation))?,
            }
        }
    }
    Ok(Exit::Done)
}

fn list(operations: &[Operation], colour: Colour) -> Table {
    let mut table = Table::new(colour, &["ID", "KIND", "STATE", "BY", "STARTED"]);
    for operation in operations {
        table.row(vec![
            Cell::new(&operation.id),
            Cell::new(&operation.kind),
            Cell::new(state(operation.state)),
            Cell::new(&operation.by),
            Cell::new(units::show_moment(&operation.started_at)),
        ]);
    }
    table
}

fn page(operation: &Operation) -> String {
    let Operation { id, kind, by, .. } = operation;
    let started_at = units::show_moment(&operation.started_at);
    let mut lines = vec![format!("{kind} `{id}` by `{by}`, {started_at}: {}", state(operation.state))];
    lines.extend(operation.steps.iter().map(|step| {
        let mark = match step.state {
            StepState::Waiting => " ",
            StepState::Running => ">",
            StepState::Done => "x",
            StepState::Failed => "!",
            StepState::Unknown => "?",
        };
        format!("[{mark}] {}", step.name)
    }));
    lines.extend(operation.result.clone());
    if let Some(problem) = &operation.problem {
        lines.push(format!("problem: {}", problem.title));
        lines.extend(problem.detail.iter().map(|detail| format!("detail: {detail}")));
        lines.extend(problem.hint.iter().map(|hint| format!("hint: {hint}")));
    }
    lines.join("\n")
}

const fn state(state: OperationState) -> &'static str {
    match state {
        OperationState::Planned => "planned",
        OperationState::Running => "running",
        OperationState::Done => "done",
        OperationState::Failed => "failed",
        OperationState::Cancelled => "cancelled",
        OperationState::Unknown => "unknown",
    }
}
