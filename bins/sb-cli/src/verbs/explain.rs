use sb_api::{Candidate, Explanation};
use sb_client::Client;

use crate::args::Output;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Colour, Ink, Terminal};
use crate::verbs::{Ended, write_json};

pub async fn run(subject: Option<&str>, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let explanation = client.explain(subject).await?;
    match output {
        Output::Json => write_json(&explanation, terminal)?,
        Output::Table | Output::Wide => terminal.data(page(&explanation, terminal.colour()))?,
    }
    Ok(Exit::Done)
}

fn page(explanation: &Explanation, colour: Colour) -> String {
    let mut lines = vec![format!("{}: {}", explanation.subject, explanation.message)];
    lines.extend(explanation.details.iter().map(|detail| format!("  {detail}")));
    if let Some(next) = &explanation.next {
        lines.push(format!("next: {next}"));
    }
    lines.extend(explanation.hints.iter().map(|hint| format!("hint: {hint}")));
    if !explanation.candidates.is_empty() {
        lines.extend([String::new(), candidates(&explanation.candidates, colour).to_string()]);
    }
    lines.join("\n")
}

/// Every gate of one candidate; of several, those that keep a candidate back stand among what it passed.
fn candidates(candidates: &[Candidate], colour: Colour) -> Table {
    let mut table = Table::new(colour, &["CANDIDATE", "GATE", "OBSERVED", "ALLOWED", ""]);
    for candidate in candidates {
        let several = candidates.len() > 1 && candidate.gates.len() > 1;
        if several && candidate.gates.iter().all(|gate| gate.ok) {
            let all = format!("all {}", candidate.gates.len());
            let passed = Cell::new("passed").ink(Ink::Green);
            table.row(vec![
                Cell::new(&candidate.server),
                Cell::new(all),
                Cell::new(""),
                Cell::new(""),
                passed,
            ]);
            continue;
        }
        for gate in &candidate.gates {
            let verdict = if gate.ok { ("passed", Ink::Green) } else { ("not passed", Ink::Red) };
            table.row(vec![
                Cell::new(&candidate.server),
                Cell::new(&gate.name),
                Cell::new(&gate.observed),
                Cell::new(&gate.limit),
                Cell::new(verdict.0).ink(verdict.1),
            ]);
        }
    }
    table
}
