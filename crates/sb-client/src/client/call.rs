use std::convert::Infallible;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use sb_api::{PROBLEM_MEDIA_TYPE, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::client::{CallError, Client, Target};
use crate::trust;

/// Largest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection to an agent, of whatever kind.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    pub(super) async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CallError> {
        self.call(Method::GET, path, None::<&()>, self.deadline).await
    }

    pub(super) async fn post<R: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &R,
    ) -> Result<A, CallError> {
        self.call(Method::POST, path, Some(request), self.deadline).await
    }

    /// One request and its answer; `limit` covers everything.
    pub(super) async fn call<R: Serialize, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&R>,
        limit: Duration,
    ) -> Result<A, CallError> {
        let request = self.request(method, path, body)?;
        let exchange = async {
            let stream = self.connect(limit).await?;
            self.exchange(stream, request).await
        };
        let late = |_| CallError::Timeout { target: self.target.to_string(), limit };
        let (status, answer) = tokio::time::timeout(limit, exchange).await.map_err(late)??;
        self.read_answer(status, &answer)
    }

    fn request<R: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&R>,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let host = match &self.target {
            Target::Unix(_) => "localhost",
            Target::Token { authority, .. } => authority.as_str(),
            Target::Peer { peer, .. } => peer.as_str(),
        };
        let mut builder = Request::builder().method(method).uri(path).header(HOST, host);
        builder = builder.header(ACCEPT, format!("application/json, {PROBLEM_MEDIA_TYPE}"));
        if let Target::Token { token, .. } = &self.target {
            builder = builder.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let body = match body {
            None => Bytes::new(),
            Some(body) => {
                builder = builder.header(CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(CallError::Request)?.into()
            }
        };
        builder.body(Full::new(body)).map_err(|error| self.unusable(error.to_string()))
    }

    async fn connect(&self, limit: Duration) -> Result<Box<dyn Stream>, CallError> {
        let unreachable =
            |source: io::Error| CallError::Unreachable { target: self.target.to_string(), source };
        match &self.target {
            Target::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(unreachable)?)),
            Target::Token { authority, name, tls, .. } => {
                let stream = TcpStream::connect(authority.as_str()).await.map_err(unreachable)?;
                let connector = TlsConnector::from(tls.clone());
                Ok(Box::new(connector.connect(name.clone(), stream).await.map_err(unreachable)?))
            }
            Target::Peer { address, peer, tls } => {
                Ok(Box::new(trust::dial(peer, *address, tls.clone(), limit).await?))
            }
        }
    }

    async fn exchange(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let broken = |error: hyper::Error| self.unusable(error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // The connection makes progress only while it is polled; it ends with the answer.
        let answer = async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.unusable(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        let drive = async move {
            // What went wrong on the connection, the request learns too.
            let _ = connection.await;
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            answer = answer => answer,
            never = drive => match never {},
        }
    }

    fn read_answer<A: DeserializeOwned>(&self, status: StatusCode, answer: &[u8]) -> Result<A, CallError> {
        if status.is_success() {
            return serde_json::from_slice(answer).map_err(|error| self.unusable(error.to_string()));
        }
        let problem: Problem = serde_json::from_slice(answer)
            .map_err(|_| self.unusable(format!("status {status} without a problem document")))?;
        let problem = Box::new(problem);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(CallError::Unauthorised { target: self.target.to_string(), problem })
            }
            _ => Err(CallError::Problem(problem)),
        }
    }

    fn unusable(&self, reason: String) -> CallError {
        CallError::Answer { target: self.target.to_string(), reason }
    }
}

/// A text as one segment of a path (RFC 3986, section 3.3): everything but letters, digits and `-._~` is escaped.
pub(super) fn path_segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a string cannot fail");
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::path_segment;

    #[test]
    fn a_path_segment_cannot_leave_its_place() {
        assert_eq!(path_segment("ravena-1"), "ravena-1");
        assert_eq!(path_segment("../x?y#z%"), "..%2Fx%3Fy%23z%25");
    }
}
