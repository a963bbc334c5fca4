//! One question over HTTP, as a peer's own tools ask it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// An answer: its status, and its body where that is JSON.
#[derive(Debug)]
pub struct Answered {
    /// 200 when all is well.
    pub status: u16,
    /// The body; [`Value::Null`] for a sentence.
    pub body: Value,
}

/// Asks, and waits for the whole answer. The thread has to be in a place of the lab.
pub async fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> anyhow::Result<Answered> {
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {to}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asking = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer =
        tokio::time::timeout(limit, asking).await.with_context(|| format!("{to} did not answer"))??;
    read(&String::from_utf8_lossy(&answer))
}

fn read(answer: &str) -> anyhow::Result<Answered> {
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of its head")?;
    ensure!(head.starts_with("HTTP/1."), "this is no HTTP");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).context("it has no status")?;
    Ok(Answered { status, body: serde_json::from_str(body).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_status() {
        let answered =
            read("HTTP/1.0 503 Service Unavailable\r\nServer: x\r\n\r\n{\"role\":\"replica\"}").unwrap();
        assert_eq!((answered.status, answered.body["role"].as_str()), (503, Some("replica")));
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\nSuccessfully switched over").unwrap().body, Value::Null);
        assert!(read("SSH-2.0").is_err());
    }
}
