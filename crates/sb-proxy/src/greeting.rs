use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt;

use crate::client::ClientStream;
use crate::proxy_header::{self, HEADER_BYTES_MAX, ProxyHeader, ProxyHeaderError};

/// Why a connection is not let in although there is room.
#[derive(Debug, Error)]
pub enum GreetingError {
    /// It is none.
    #[error("the header is not one")]
    Header(#[from] ProxyHeaderError),
    /// It did not come in time.
    #[error("the PROXY header took more than {0:?}")]
    Late(Duration),
    /// The connection ended before.
    #[error("the connection ended within its PROXY header")]
    Ended(#[from] io::Error),
}

/// Reads the PROXY header. Also what came after it, which is the client's.
pub async fn read_header(
    client: &mut ClientStream,
    limit: Duration,
) -> Result<(ProxyHeader, Vec<u8>), GreetingError> {
    tokio::time::timeout(limit, read(client)).await.map_err(|_| GreetingError::Late(limit))?
}

async fn read(client: &mut ClientStream) -> Result<(ProxyHeader, Vec<u8>), GreetingError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX);
    loop {
        let read = client.take((HEADER_BYTES_MAX - bytes.len()) as u64).read_buf(&mut bytes).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if let Some(header) = proxy_header::parse(&bytes)? {
            let first = bytes.split_off(header.length);
            return Ok((header, first));
        }
    }
}
