use sb_api::{Gate, RecoverRequest, RecoveryPlan, RecoveryServer, StoreRole};
use sb_client::Client;

use crate::args::{Output, RecoverArgs};
use crate::confirm;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Colour, Ink, Terminal};
use crate::units;
use crate::verbs::transfer::{finish, show_plan};
use crate::verbs::{Ended, write_json};

pub async fn run(args: RecoverArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let (Some(to), Some(accept_data_loss_bytes)) = (args.to, args.accept_data_loss) else {
        return plan(client, output, terminal).await;
    };
    confirm::check_script(&args.transfer, terminal)?;
    let picture = client.recovery_plan().await?;
    let mut request = RecoverRequest {
        to,
        confirm_lost: args.confirm_lost,
        accept_data_loss_bytes,
        dry_run: true,
        expect_primary: args.transfer.expect_primary.clone().or_else(|| picture.last_primary.clone()),
    };
    let steps = client.recover(&request).await?;
    if args.transfer.dry_run {
        return show_plan(&steps, output, terminal);
    }
    for sentence in &picture.unknown {
        terminal.talk(format!("Nobody can know {sentence}."));
    }
    confirm::confirm(&args.transfer, &steps, &request.to, terminal)?;
    request.dry_run = false;
    let operation = client.recover(&request).await?;
    finish(operation, args.transfer.timeout, client, output, terminal).await
}

async fn plan(client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let plan = client.recovery_plan().await?;
    match output {
        Output::Json => write_json(&plan, terminal)?,
        Output::Table | Output::Wide => terminal.data(page(&plan, terminal.colour()))?,
    }
    terminal.talk("Nothing was changed.");
    Ok(Exit::Done)
}

fn page(plan: &RecoveryPlan, colour: Colour) -> String {
    let mut lines = header(plan, colour);
    lines.extend([String::new(), table(plan, colour).to_string()]);
    for server in &plan.servers {
        lines.extend(failed(&server.gates).map(|gate| refusal(&server.name, gate)));
    }
    if !plan.unknown.is_empty() {
        lines.extend([String::new(), "Nobody can know".to_owned()]);
        lines.extend(plan.unknown.iter().map(|sentence| format!("- {sentence}")));
    }
    lines.push(String::new());
    lines.extend(next(plan));
    lines.join("\n")
}

fn header(plan: &RecoveryPlan, colour: Colour) -> Vec<String> {
    let mut lines = Vec::new();
    if failed(&plan.gates).next().is_none() {
        let silence = plan.store_silent_seconds.map(units::show_seconds);
        let silence = silence.map(|time| format!(" for {time}")).unwrap_or_default();
        let fact = Ink::Red.paint("The majority of the store does not answer", colour);
        lines.push(format!("{fact}{silence}, as `{}` sees it.", plan.observer));
    }
    lines.extend(
        failed(&plan.gates)
            .map(|gate| format!("No recovery: {}: {}, allowed {}.", gate.name, gate.observed, gate.limit)),
    );
    if let (Some(primary), Some(term)) = (&plan.last_primary, plan.term) {
        let position = plan.last_position.as_deref().unwrap_or("an unknown position");
        lines.push(format!(
            "The last primary that is known was `{primary}` (term {term}), its log at {position}."
        ));
    }
    lines
}

fn table(plan: &RecoveryPlan, colour: Colour) -> Table {
    let mut table = Table::new(colour, &["SERVER", "ANSWERS", "STORE", "ROLE", "LOG ENDS AT", "AT RISK"]);
    for server in &plan.servers {
        let RecoveryServer { name, store_role, role, position, .. } = server;
        let at_risk = match (server.answers, server.at_risk_bytes) {
            (true, Some(bytes)) => units::show_bytes(bytes),
            (true, None) => "unknown".to_owned(),
            (false, _) => "-".to_owned(),
        };
        table.row(vec![
            Cell::new(name),
            Cell::new(answers(server)),
            Cell::new(part(*store_role)),
            Cell::new(role.word()),
            Cell::new(position.as_deref().unwrap_or("-")),
            Cell::new(at_risk),
        ]);
    }
    table
}

fn answers(server: &RecoveryServer) -> String {
    match (server.answers, server.silent_seconds) {
        (true, _) => "yes".to_owned(),
        (false, Some(seconds)) => format!("no, for {}", units::show_seconds(seconds)),
        (false, None) => "no".to_owned(),
    }
}

const fn part(role: StoreRole) -> &'static str {
    match role {
        StoreRole::Leader | StoreRole::Voter => "voter",
        StoreRole::Learner => "learner",
        StoreRole::Unknown => "-",
    }
}

fn failed(gates: &[Gate]) -> impl Iterator<Item = &Gate> {
    gates.iter().filter(|gate| !gate.ok)
}

fn refusal(server: &str, gate: &Gate) -> String {
    format!("`{server}` cannot go on: {}: {}, allowed {}.", gate.name, gate.observed, gate.limit)
}

/// What to type, when there is something.
fn next(plan: &RecoveryPlan) -> Vec<String> {
    if failed(&plan.gates).next().is_some() {
        return vec!["A majority that can answer needs no recovery: sb-cli status".to_owned()];
    }
    let Some(best) = &plan.best else {
        return vec!["No server that answers can go on as it is.".to_owned()];
    };
    let at_risk = plan.servers.iter().find(|server| server.name == *best).and_then(|s| s.at_risk_bytes);
    let primary = plan.last_primary.as_deref().unwrap_or("SERVER");
    vec![
        "If the silent servers will never come back by themselves, on the server that goes on:".to_owned(),
        format!(
            "  sb-cli recover --to {best} --confirm-lost {} --accept-data-loss {} --expect-primary {primary}",
            plan.silent.join(","),
            at_risk.unwrap_or(0)
        ),
    ]
}
