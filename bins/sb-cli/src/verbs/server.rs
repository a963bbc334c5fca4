use sb_api::RejoinRequest;
use sb_client::Client;

use crate::args::{Output, ServerCommand};
use crate::terminal::Terminal;
use crate::verbs::Ended;
use crate::verbs::transfer::finish;

/// These operations have ended when they are answered.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(5);

pub async fn run(command: ServerCommand, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    match command {
        ServerCommand::Rejoin { server } => {
            let operation = client.rejoin(&RejoinRequest { server, dry_run: false }).await?;
            finish(operation, AT_ONCE, client, output, terminal).await
        }
    }
}
