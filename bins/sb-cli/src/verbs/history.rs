use sb_api::HistoryEntry;
use sb_client::Client;
use serde::Serialize;

use crate::args::Output;
use crate::exit::Exit;
use crate::table::{Cell, Table};
use crate::terminal::Terminal;
use crate::units;
use crate::verbs::{Ended, write_json};

#[derive(Serialize)]
struct History<'a> {
    history: &'a [HistoryEntry],
}

pub async fn run(client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let history = client.history().await?;
    if output == Output::Json {
        write_json(History { history: &history }, terminal)?;
        return Ok(Exit::Done);
    }
    let titles = ["TERM", "PRIMARY", "BEFORE", "AT", "REASON", "BY", "POSITION"];
    let mut table = Table::new(terminal.colour(), &titles);
    for entry in &history {
        table.row(vec![
            Cell::new(entry.term.to_string()),
            Cell::new(&entry.primary),
            Cell::of(entry.previous.as_ref()),
            Cell::of(entry.at.as_deref().map(units::show_moment)),
            Cell::new(&entry.reason),
            Cell::of(entry.by.as_ref()),
            Cell::of(entry.position.as_ref()),
        ]);
    }
    terminal.data(table)?;
    Ok(Exit::Done)
}
