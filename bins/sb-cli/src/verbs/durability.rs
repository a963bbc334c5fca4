use sb_api::DurabilityRequest;
use sb_client::Client;

use crate::args::{DurabilityArgs, Output};
use crate::confirm;
use crate::terminal::Terminal;
use crate::verbs::Ended;
use crate::verbs::transfer::{finish, show_plan};

pub async fn run(args: DurabilityArgs, client: &Client, output: Output, terminal: &mut Terminal) -> Ended {
    confirm::check_script(&args.transfer, terminal)?;
    let status = client.status().await?.cluster;
    let mut request = DurabilityRequest {
        durability: match args.durability {
            sb_topology::Durability::Async => sb_api::Durability::Async,
            sb_topology::Durability::Sync => sb_api::Durability::Sync,
            sb_topology::Durability::Strict => sb_api::Durability::Strict,
        },
        number: Some(args.number),
        dry_run: true,
        expect_primary: args.transfer.expect_primary.clone().or(status.primary),
    };
    let plan = client.durability(&request).await?;
    if args.transfer.dry_run {
        return show_plan(&plan, output, terminal);
    }
    confirm::confirm(&args.transfer, &plan, &status.name, terminal)?;
    request.dry_run = false;
    let operation = client.durability(&request).await?;
    finish(operation, args.transfer.timeout, client, output, terminal).await
}
