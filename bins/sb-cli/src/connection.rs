use std::time::Duration;

use sb_client::state::Token;
use sb_client::trust::Authority;
use sb_client::{Client, Target};

use crate::args::ConnectionArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ssh::Forward;

/// Longest time of one call, in seconds.
const CALL_SECONDS_MAX: u64 = 10;

/// A way to an agent, kept open as long as it lives.
pub struct Connection {
    /// Makes the calls.
    pub client: Client,
    forward: Option<Forward>,
}

impl Connection {
    /// Opens the way that the command line asks for.
    pub async fn open(args: &ConnectionArgs) -> Result<Self, Failure> {
        let (target, forward) = match (&args.ssh, &args.server) {
            (Some(host), _) => {
                let forward = Forward::open(host, &args.socket).await?;
                (Target::Unix(forward.socket()), Some(forward))
            }
            (None, Some(server)) => (with_token(server, args)?, None),
            (None, None) => (Target::Unix(args.socket.clone()), None),
        };
        let client = Client::new(target).deadline(Duration::from_secs(CALL_SECONDS_MAX));
        Ok(Self { client, forward })
    }

    /// Closes it, and says how what was asked through it ended.
    pub async fn close<T>(self, asked: Result<T, Failure>) -> Result<T, Failure> {
        match self.forward {
            Some(forward) => forward.close(asked).await,
            None => asked,
        }
    }
}

fn with_token(server: &str, args: &ConnectionArgs) -> Result<Target, Failure> {
    let missing = |what| Failure::new(Exit::Usage, format!("--server needs {what}"));
    let token_file = args.token_file.as_ref().ok_or_else(|| missing("--token-file"))?;
    let ca = args.ca.as_ref().ok_or_else(|| missing("--ca"))?;
    let token = std::fs::read_to_string(token_file).map_err(|error| {
        Failure::new(Exit::Unreachable, format!("could not read the token in `{}`", token_file.display()))
            .detail(error.to_string())
            .hint("`sb-cli init` writes it to operator/token.")
    })?;
    let authority = Authority::load(ca).map_err(|error| {
        Failure::from_error(Exit::Unreachable, &error).hint("`sb-cli init` writes it to operator/ca.pem.")
    })?;
    Ok(Target::with_token(server, Token::from_text(&token), &authority)?)
}
