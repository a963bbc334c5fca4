//! Asks an agent for the cluster's verdict: through its Unix socket, or with a token.
//!
//! ```text
//! cargo run -p sb-client --example status -- /run/show-build/agent.sock
//! cargo run -p sb-client --example status -- https://10.0.1.1:8080 operator/token operator/ca.pem
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::path::Path;

use sb_client::state::Token;
use sb_client::trust::Authority;
use sb_client::{Client, SOCKET_DEFAULT, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let target = match &arguments[..] {
        [] => Target::Unix(SOCKET_DEFAULT.into()),
        [socket] => Target::Unix(socket.into()),
        [server, token, ca, ..] => {
            let token = Token::from_text(&std::fs::read_to_string(token)?);
            Target::with_token(server, token, &Authority::load(Path::new(ca))?)?
        }
        [_, _] => return Err("a server needs a token file and the authority's certificate".into()),
    };
    let status = Client::new(target).status().await?;
    println!("{}: {}", status.cluster.name, status.cluster.verdict.sentence);
    for server in &status.servers {
        println!("  {:20} {}", server.name, server.role.word());
    }
    Ok(())
}
