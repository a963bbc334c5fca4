use std::time::Duration;

use sb_api::{EVENTS_WAIT_SECONDS_MAX, Event, EventsQuery};
use sb_client::Client;
use serde::Serialize;

use crate::args::{EventsArgs, Output};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::Terminal;
use crate::units;
use crate::verbs::{Ended, write_json};

/// Pause after an agent did not answer, before it is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Events<'a> {
    events: &'a [Event],
}

pub async fn run(args: &EventsArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let mut since = args.since;
    let wait = if args.follow { EVENTS_WAIT_SECONDS_MAX } else { 0 };
    loop {
        match client.events(EventsQuery { since, wait }).await {
            Ok(events) => {
                write(&events, output, terminal)?;
                match events.last() {
                    Some(last) => since = last.id,
                    None if args.follow => {}
                    None => return Ok(Exit::Done),
                }
            }
            Err(error) if args.follow && error.may_pass() => {
                terminal.talk(format!("waiting: {error}"));
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn write(events: &[Event], output: Output, terminal: &mut Terminal) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    if output == Output::Json {
        return write_json(Events { events }, terminal);
    }
    let width = |text: fn(&Event) -> &str| events.iter().map(|event| text(event).len()).max().unwrap_or(0);
    let (server, kind) = (width(|event| &event.server), width(|event| &event.kind));
    for event in events {
        let at = units::show_moment_ms(&event.at);
        let Event { server: name, kind: word, message, .. } = event;
        terminal.data(format!("{at}  {name:server$}  {word:kind$}  {message}"))?;
        if let (Output::Wide, Some(detail)) = (output, &event.detail) {
            terminal.data(format!("    {detail}"))?;
        }
    }
    Ok(())
}
