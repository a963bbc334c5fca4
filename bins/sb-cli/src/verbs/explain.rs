use sb_api::{Candidate, Code, ExplainQuery, Explanation, Judgement, explain_code};
use sb_client::Client;
use serde::Serialize;

use crate::args::Output;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::{Colour, Ink, Terminal};
use crate::units;
use crate::verbs::{Ended, write_json};

/// The cluster: who would take over now, and how a past succession was judged.
pub async fn cluster(term: Option<u64>, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let explanation = client.explain_cluster(ExplainQuery { term }).await?;
    show(&explanation, output, terminal)
}

/// A server, an operation, or a code that only the agent knows.
pub async fn subject(subject: &str, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let explanation = client.explain(Some(subject)).await?;
    show(&explanation, output, terminal)
}

/// Whether this program can explain it without an agent.
pub fn is_code(subject: &str) -> bool {
    explain_code(subject).next().is_some()
}

#[derive(Serialize)]
struct Codes {
    codes: Vec<CodeInWords>,
}

#[derive(Serialize)]
struct CodeInWords {
    code: &'static str,
    kind: &'static str,
    meaning: &'static str,
    by_itself: &'static str,
    operator: &'static str,
}

/// A code, also while no agent answers.
pub fn code(code: &str, output: Output, terminal: &mut Terminal) -> Ended {
    let words = |Code { code, kind, meaning, by_itself, operator }| CodeInWords {
        code,
        kind: kind.word(),
        meaning,
        by_itself,
        operator,
    };
    let codes: Vec<_> = explain_code(code).map(words).collect();
    if output == Output::Json {
        write_json(Codes { codes }, terminal)?;
        return Ok(Exit::Done);
    }
    let paragraphs = codes.iter().map(|known| {
        let CodeInWords { code, kind, meaning, by_itself, operator } = known;
        format!("{code}: {kind}\n  {meaning}\nby itself: {by_itself}\nhint: {operator}")
    });
    terminal.data(paragraphs.collect::<Vec<_>>().join("\n\n"))?;
    Ok(Exit::Done)
}

fn show(explanation: &Explanation, output: Output, terminal: &mut Terminal) -> Ended {
    match output {
        Output::Json => write_json(explanation, terminal)?,
        Output::Table | Output::Wide => terminal.data(page(explanation, terminal.colour()))?,
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
    lines.extend(candidates(&explanation.candidates, colour));
    lines.extend(explanation.judged.iter().flat_map(|judged| judgement(judged, colour)));
    lines.join("\n")
}

fn judgement(judged: &Judgement, colour: Colour) -> Vec<String> {
    let Judgement { term, holder, renewal, by, at, verdict, .. } = judged;
    let at = units::show_moment(at);
    let mut lines = vec![
        String::new(),
        format!("judged for term {term}, after renewal {renewal} of `{holder}`, by `{by}` at {at}"),
        format!("  {verdict}"),
    ];
    lines.extend(candidates(&judged.candidates, colour));
    lines
}

/// The order with its reasons, then every gate of every candidate.
fn candidates(candidates: &[Candidate], colour: Colour) -> Vec<String> {
    let mut lines = Vec::new();
    if candidates.is_empty() {
        return lines;
    }
    lines.push(String::new());
    for candidate in candidates {
        if let Some(why) = &candidate.why {
            let place = candidate.place.map_or_else(|| "-".to_owned(), |place| place.to_string());
            lines.push(format!(
                "{place:>2} `{}` {}{why}",
                candidate.server,
                if candidate.place.is_some() { "" } else { "may not: " }
            ));
        }
    }
    if lines.len() > 1 {
        lines.push(String::new());
    }
    lines.push(gates(candidates, colour).to_string());
    lines
}

fn gates(candidates: &[Candidate], colour: Colour) -> Table {
    let mut table = Table::new(colour, &["CANDIDATE", "GATE", "OBSERVED", "ALLOWED", ""]);
    for candidate in candidates {
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
