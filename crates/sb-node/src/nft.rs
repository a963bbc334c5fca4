//! Transactions of the kernel's packet filter, carried out by `nft`.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Longest run of `nft`, in seconds.
const NFT_SECONDS_MAX: u64 = 5;

/// A transaction was not carried out; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is missing or could not be run.
    #[error("could not run `nft`")]
    Program(#[source] io::Error),
    /// `nft` ran and refused the rules.
    #[error("`nft` did not accept the rules: {said}")]
    Rules {
        /// Its words.
        said: String,
    },
    /// `nft` did not end in time.
    #[error("`nft` did not end within {limit_s} s")]
    Timeout {
        /// How long it was given, in seconds.
        limit_s: u64,
    },
}

/// Has `nft` carry out one transaction.
pub(crate) async fn load(rules: &str) -> Result<(), NftError> {
    let run = async {
        let mut nft = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = nft.stdin.take() {
            input.write_all(rules.as_bytes()).await?;
        }
        nft.wait_with_output().await
    };
    let limit = Duration::from_secs(NFT_SECONDS_MAX);
    let output = tokio::time::timeout(limit, run)
        .await
        .map_err(|_| NftError::Timeout { limit_s: NFT_SECONDS_MAX })?
        .map_err(NftError::Program)?;
    if output.status.success() {
        return Ok(());
    }
    // The first line says what; those below it quote the rule.
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().map_or_else(|| output.status.to_string(), str::to_owned);
    Err(NftError::Rules { said })
}
