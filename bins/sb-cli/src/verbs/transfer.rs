use std::time::Duration;

use sb_api::{FailoverRequest, Operation, OperationState, StepState, SwitchoverRequest};
use sb_client::Client;

use crate::args::{FailoverArgs, Output, SwitchoverArgs};
use crate::confirm;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::verbs::{Ended, write_json};

pub async fn switchover(
    args: SwitchoverArgs,
    client: &Client,
    output: Output,
    terminal: &mut Terminal,
) -> Ended {
    confirm::check_script(&args.transfer, terminal)?;
    let mut request = SwitchoverRequest {
        to: args.to,
        dry_run: true,
        expect_primary: args.transfer.expect_primary.clone(),
    };
    let status = client.status().await?.cluster;
    request.expect_primary = request.expect_primary.or(status.primary);
    let plan = client.switchover(&request).await?;
    if args.transfer.dry_run {
        return show_plan(&plan, output, terminal);
    }
    confirm::confirm(&args.transfer, &plan, &status.name, terminal)?;
    request.dry_run = false;
    let operation = client.switchover(&request).await?;
    finish(operation, args.transfer.timeout, client, output, terminal).await
}

pub async fn failover(args: FailoverArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    confirm::check_script(&args.transfer, terminal)?;
    let status = client.status().await?.cluster;
    let mut request = FailoverRequest {
        to: args.to,
        accept_data_loss_bytes: args.accept_data_loss,
        dry_run: true,
        expect_primary: args.transfer.expect_primary.clone().or(status.primary),
    };
    let plan = client.failover(&request).await?;
    if args.transfer.dry_run {
        return show_plan(&plan, output, terminal);
    }
    confirm::confirm(&args.transfer, &plan, &request.to, terminal)?;
    request.dry_run = false;
    let operation = client.failover(&request).await?;
    finish(operation, args.transfer.timeout, client, output, terminal).await
}

pub fn show_plan(plan: &Operation, output: Output, terminal: &mut Terminal) -> Ended {
    match output {
        Output::Json => write_json(plan, terminal)?,
        Output::Table | Output::Wide => {
            for line in confirm::plan_lines(plan) {
                terminal.data(line)?;
            }
        }
    }
    terminal.talk("Nothing was changed.");
    Ok(Exit::Done)
}

/// Watches an operation to its end and tells how it ended.
pub async fn finish(
    operation: Operation,
    limit: Duration,
    client: &Client,
    output: Output,
    terminal: &mut Terminal,
) -> Ended {
    let mut told = 0;
    let ended = client.wait(operation, limit, |operation| tell_steps(operation, &mut told, terminal)).await?;
    if output == Output::Json {
        write_json(&ended, terminal)?;
    }
    match (ended.state, ended.problem) {
        (OperationState::Done | OperationState::Planned, _) => {
            if output != Output::Json {
                terminal.data(ended.result.unwrap_or_else(|| format!("{} is done.", ended.kind)))?;
            }
            Ok(Exit::Done)
        }
        (OperationState::Cancelled, problem) => Err(not_done(Exit::Refused, &ended.kind, &ended.id, problem)),
        (OperationState::Failed | OperationState::Running | OperationState::Unknown, problem) => {
            Err(not_done(Exit::Failed, &ended.kind, &ended.id, problem))
        }
    }
}

fn not_done(exit: Exit, kind: &str, id: &str, problem: Option<sb_api::Problem>) -> Failure {
    match problem {
        Some(problem) => Failure::from_problem(exit, problem),
        None => Failure::new(exit, format!("{kind} `{id}` was not carried out"))
            .hint(format!("sb-cli explain {id}")),
    }
}

/// Tells the steps that have been reached since the last time.
fn tell_steps(operation: &Operation, told: &mut usize, terminal: &mut Terminal) {
    let reached = operation.steps.iter().take_while(|step| step.state != StepState::Waiting).count();
    for step in operation.steps.iter().take(reached).skip(*told) {
        terminal.talk(format!("- {}", step.name));
    }
    *told = reached.max(*told);
}
