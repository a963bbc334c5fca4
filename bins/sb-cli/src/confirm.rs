use sb_api::Operation;

use crate::args::TransferArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{Conversation, Terminal};

/// Refuses a dangerous verb that a script runs without saying what it expects. Asks nothing and calls nobody.
pub fn check_script(args: &TransferArgs, terminal: &Terminal) -> Result<(), Failure> {
    let person = terminal.conversation() == Conversation::Possible;
    if person || args.dry_run || (args.yes && args.expect_primary.is_some()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "without a terminal this needs --yes and --expect-primary SERVER")
        .detail("There is nobody to ask, and the primary may have changed since you looked.")
        .hint("To see what would be done: add --dry-run"))
}

/// Shows the plan and has a person type `name`, unless they said `--yes`.
pub fn confirm(
    args: &TransferArgs,
    plan: &Operation,
    name: &str,
    terminal: &mut Terminal,
) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    for line in plan_lines(plan) {
        terminal.talk(line);
    }
    let answer = terminal.ask(format!("Type `{name}` to go on:"))?;
    if answer == name {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "not confirmed: nothing was changed")
        .detail(format!("`{answer}` is not `{name}`.")))
}

/// The steps and the consequence of a plan, one line each.
pub fn plan_lines(plan: &Operation) -> Vec<String> {
    let steps = plan.steps.iter().enumerate();
    let mut lines: Vec<String> = steps.map(|(index, step)| format!("{}. {}", index + 1, step.name)).collect();
    lines.extend(plan.result.clone());
    lines
}
