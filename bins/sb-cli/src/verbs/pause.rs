use std::time::Duration;

use sb_api::{PauseRequest, ResumeRequest};
use sb_client::Client;

use crate::args::{Output, PauseArgs};
use crate::terminal::Terminal;
use crate::verbs::Ended;
use crate::verbs::transfer::finish;

/// A pause is one entry in the store; longer means that the store has no majority.
const LIMIT: Duration = Duration::from_secs(15);

pub async fn pause(args: PauseArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    let request = PauseRequest { for_seconds: args.duration.as_secs(), reason: args.reason, dry_run: false };
    finish(client.pause(&request).await?, LIMIT, client, output, terminal).await
}

pub async fn resume(client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    finish(client.resume(&ResumeRequest::default()).await?, LIMIT, client, output, terminal).await
}
