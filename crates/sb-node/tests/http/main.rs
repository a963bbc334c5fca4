//! The agent's listeners and router, called by the real client over real sockets.

#![allow(clippy::unwrap_used)]

mod fake;
mod health;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fake::{Bundles, FakeAgent, agent, operation};
use sb_api::{
    EventsQuery, ExplainQuery, FailoverRequest, JoinAnswer, JoinRequest, OperationState, PauseRequest,
    PresharedOffer, PresharedStep, PresharedWord, RecoverRequest, RejoinRequest, SecretText,
    SwitchoverRequest,
};
use sb_client::state::{Scope, Token, Tokens};
use sb_client::trust::{self, Alpn, Authority, Credentials};
use sb_client::{CallError, Client, Target};
use sb_node::http::{ApiListener, BODY_BYTES_MAX, ListenError, PeerListener, UnixListener, router};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running Unix listener; it ends with this value.
struct OnSocket {
    path: PathBuf,
    _place: TempDir,
    _stop: DropGuard,
}

impl OnSocket {
    fn serve(agent: Arc<FakeAgent>) -> Self {
        let place = TempDir::new().unwrap();
        let path = place.path().join("agent.sock");
        let stop = CancellationToken::new();
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(listener.serve(router(agent), stop.clone()));
        Self { path, _place: place, _stop: stop.drop_guard() }
    }

    fn client(&self) -> Client {
        Client::new(Target::Unix(self.path.clone()))
    }

    /// Sends these bytes and reads all that comes back.
    async fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(&self.path).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn problem(error: CallError) -> Box<sb_api::Problem> {
    match error {
        CallError::Problem(problem) | CallError::Unauthorised { problem, .. } => problem,
        other => panic!("no problem document: {other:?}"),
    }
}

#[tokio::test]
async fn the_own_user_may_do_everything_through_the_socket() {
    let agent = agent();
    let socket = OnSocket::serve(agent.clone());
    let client = socket.client();

    assert_eq!(client.status().await.unwrap().cluster.term, Some(3));
    assert_eq!(client.server().await.unwrap().name, "ravena-1");
    assert_eq!(client.history().await.unwrap(), vec![]);
    assert_eq!(client.explain(Some("ravena-1")).await.unwrap().subject, "ravena-1");
    assert_eq!(client.explain(None).await.unwrap().subject, "cluster");
    let of_term = ExplainQuery { term: Some(8) };
    assert_eq!(client.explain_cluster(of_term).await.unwrap().message, "asked for Some(8)");
    let pause = PauseRequest { for_seconds: 60, reason: None, dry_run: false };
    assert_eq!(client.pause(&pause).await.unwrap().state, OperationState::Done);
    assert!(agent.asked()[0].contains("for_seconds: 60"), "{:?}", agent.asked());
}

#[tokio::test]
async fn an_operation_that_goes_on_is_accepted_and_can_be_awaited() {
    let socket = OnSocket::serve(agent());
    let raw = socket.raw("POST /v1/switchover HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(raw.starts_with("HTTP/1.1 202"), "{raw}");
    assert!(raw.contains("location: /v1/operations/op-7\r\n"), "{raw}");

    let running = socket.client().switchover(&SwitchoverRequest::default()).await.unwrap();
    let ended = socket.client().wait(running, Duration::from_secs(10), |_| ()).await.unwrap();
    assert_eq!(ended.state, OperationState::Done);

    let plan = SwitchoverRequest { dry_run: true, ..SwitchoverRequest::default() };
    assert_eq!(socket.client().switchover(&plan).await.unwrap().state, OperationState::Planned);
}

#[tokio::test]
async fn waiting_for_an_operation_ends_at_its_limit() {
    let socket = OnSocket::serve(agent());
    let late = socket.client().wait(operation(OperationState::Running), Duration::ZERO, |_| ()).await;
    assert!(matches!(late, Err(CallError::StillRunning { .. })), "{late:?}");
}

#[tokio::test]
async fn a_refusal_says_which_gate_and_what_to_do() {
    let socket = OnSocket::serve(agent());
    let request = FailoverRequest {
        to: "tucson-1".into(),
        accept_data_loss_bytes: None,
        dry_run: false,
        expect_primary: None,
    };

    let problem = problem(socket.client().failover(&request).await.unwrap_err());

    assert_eq!((problem.status, problem.code.as_str()), (409, "failover.may_lose_commits"));
    assert_eq!(problem.hint.as_deref(), Some("Promote `burlington-1`."));
    assert_eq!((problem.gates[0].observed.as_str(), problem.gates[0].ok), ("48 MiB", false));
}

#[tokio::test]
async fn every_fault_of_a_request_is_a_problem_document() {
    let socket = OnSocket::serve(agent());
    let too_long = format!(
        "POST /v1/pause HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    ) + &" ".repeat(BODY_BYTES_MAX + 1);
    let misspelt = "{\"dryrun\":true}";
    let misspelt = format!(
        "POST /v1/switchover HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{misspelt}",
        misspelt.len()
    );
    let cases = [
        ("GET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404", "http.path"),
        ("DELETE /v1/status HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "405", "http.method"),
        ("GET /v1/operations/op-8 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404", "operation.unknown"),
        ("GET /v1/events?since=x HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "400", "http.query"),
        (misspelt, "422", "http.body"),
        (too_long, "413", "http.body"),
    ];
    for (request, status, code) in cases {
        let answer = socket.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
    }
}

#[tokio::test]
async fn a_wait_for_events_is_cut_to_the_longest_allowed() {
    let agent = agent();
    let socket = OnSocket::serve(agent.clone());

    let events = socket.client().events(EventsQuery { since: 0, wait: 86_400 }).await.unwrap();

    assert_eq!(events[0].kind, "lease.acquired");
    assert_eq!(agent.asked(), ["events: (0, 30s)"]);
}

#[tokio::test]
async fn a_second_agent_does_not_take_the_socket_of_a_living_one() {
    let socket = OnSocket::serve(agent());
    assert!(matches!(UnixListener::bind(&socket.path), Err(ListenError::Running { .. })));
    assert!(socket.client().status().await.is_ok());
}

#[tokio::test]
async fn the_socket_of_a_dead_agent_is_replaced() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(UnixListener::bind(&path).is_ok());
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_from_one_that_refuses() {
    let place = TempDir::new().unwrap();
    let nobody = Client::new(Target::Unix(place.path().join("none.sock"))).status().await;
    assert!(matches!(nobody, Err(CallError::Unreachable { .. })), "{nobody:?}");
}

/// An API port with one token of each scope.
struct OnTcp {
    bundles: Bundles,
    address: std::net::SocketAddr,
    operate: Token,
    _stop: DropGuard,
}

impl OnTcp {
    async fn serve(agent: Arc<FakeAgent>) -> Self {
        let bundles = Bundles::make();
        let operate = Token::random();
        let tokens = Tokens { tokens: vec![operate.entry("script", Scope::Operate)] };
        let tls = Credentials::load(&bundles.tls("ravena-1")).unwrap().api_server_config().unwrap();
        let listener =
            ApiListener::bind("127.0.0.1:0".parse().unwrap(), Arc::new(tls), Arc::new(tokens)).await.unwrap();
        let address = listener.address().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(listener.serve(router(agent), stop.clone()));
        Self { bundles, address, operate, _stop: stop.drop_guard() }
    }

    fn client(&self, token: &Token) -> Client {
        let authority = Authority::load(&self.bundles.operator().join("operator/ca.pem")).unwrap();
        let server = format!("https://{}", self.address);
        Client::new(Target::with_token(&server, token.clone(), &authority).unwrap())
    }
}

#[tokio::test]
async fn a_token_opens_what_its_scope_says_and_no_more() {
    let agent = agent();
    let tcp = OnTcp::serve(agent.clone()).await;
    let client = tcp.client(&tcp.operate);

    assert!(client.status().await.is_ok());
    assert!(client.switchover(&SwitchoverRequest::default()).await.is_ok());
    let request = FailoverRequest {
        to: "tucson-1".into(),
        accept_data_loss_bytes: None,
        dry_run: true,
        expect_primary: None,
    };
    let recover = RecoverRequest {
        to: "tucson-1".into(),
        confirm_lost: vec!["ravena-1".into()],
        accept_data_loss_bytes: 0,
        dry_run: true,
        expect_primary: None,
    };
    let rejoin = RejoinRequest { server: "ravena-1".into(), dry_run: true };
    for refused in
        [client.failover(&request).await, client.recover(&recover).await, client.rejoin(&rejoin).await]
    {
        let refused = problem(refused.unwrap_err());
        assert_eq!((refused.status, refused.code.as_str()), (403, "access.scope"));
    }
    assert_eq!(agent.asked().len(), 1, "what the token does not open never reached the agent");
    assert!(agent.asked()[0].starts_with("script: "), "{:?}", agent.asked());
}

#[tokio::test]
async fn an_unknown_token_opens_nothing() {
    let tcp = OnTcp::serve(agent()).await;
    let refused = tcp.client(&Token::random()).status().await.unwrap_err();
    assert!(matches!(refused, CallError::Unauthorised { .. }), "{refused:?}");
    assert_eq!(problem(refused).status, 401);
}

#[tokio::test]
async fn an_agent_of_another_cluster_is_not_sent_the_token() {
    let tcp = OnTcp::serve(agent()).await;
    let other = Bundles::make();
    let authority = Authority::load(&other.operator().join("operator/ca.pem")).unwrap();
    let target = Target::with_token(&tcp.address.to_string(), tcp.operate.clone(), &authority).unwrap();
    let refused = Client::new(target).status().await;
    assert!(matches!(refused, Err(CallError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_person_may_not_make_peer_calls() {
    let tcp = OnTcp::serve(agent()).await;
    let refused = problem(tcp.client(&tcp.operate).peer_status().await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (403, "access.not_a_peer"));
    let refused = problem(tcp.client(&tcp.operate).mesh_word().await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (403, "access.not_a_peer"));
    let word = PresharedWord { revision: 7, kept: None, next: None };
    let refused = problem(tcp.client(&tcp.operate).preshared(&word).await.unwrap_err());
    assert_eq!((refused.status, refused.code.as_str()), (403, "access.not_a_peer"));
}

#[tokio::test]
async fn the_peer_port_tells_calls_from_the_stores_connections() {
    let (agent, bundles) = (agent(), Bundles::make());
    let credentials = |server: &str| Credentials::load(&bundles.tls(server)).unwrap();
    let tls = Arc::new(credentials("ravena-1").peer_server_config().unwrap());
    let listener = PeerListener::bind("127.0.0.1:0".parse().unwrap(), tls).await.unwrap();
    let address = listener.address().unwrap();
    let (sender, mut raft) = mpsc::channel(1);
    let stop = CancellationToken::new();
    tokio::spawn(listener.serve(router(agent.clone()), sender, stop.clone()));
    let _stop = stop.drop_guard();

    let target = Target::peer("ravena-1".parse().unwrap(), address, &credentials("tucson-1")).unwrap();
    let client = Client::new(target);
    assert_eq!(client.peer_status().await.unwrap().applied_index, Some(9));
    assert_eq!(client.mesh_word().await.unwrap().sights[0].for_ms, 7_000);
    let join = JoinRequest {
        cluster_id: "id".into(),
        incarnation: 1,
        address: "10.0.5.1:7432".into(),
        generation: 0,
    };
    assert!(matches!(client.join(&join).await.unwrap(), JoinAnswer::Elsewhere { .. }));
    assert!(agent.asked()[0].starts_with("tucson-1: "), "the name comes from the certificate");
    let next =
        PresharedOffer { key: SecretText::new("a secret".to_owned().into()), step: PresharedStep::Offer };
    let word = PresharedWord { revision: 7, kept: None, next: Some(next) };
    assert_eq!(client.preshared(&word).await.unwrap().revision, 7);
    let heard = agent.asked()[1].clone();
    assert!(heard.starts_with("tucson-1: ") && !heard.contains("a secret"), "{heard}");
    assert_eq!(problem(client.status().await.unwrap_err()).code, "access.peer");

    let tls = Arc::new(credentials("tucson-1").peer_client_config(Alpn::Raft).unwrap());
    let mut frames =
        trust::dial(&"ravena-1".parse().unwrap(), address, tls, Duration::from_secs(10)).await.unwrap();
    frames.write_all(b"frame").await.unwrap();
    let mut handed = raft.recv().await.unwrap();
    let mut seen = [0; 5];
    handed.stream.read_exact(&mut seen).await.unwrap();
    assert_eq!((handed.peer.as_str(), &seen), ("tucson-1", b"frame"));
}

#[tokio::test]
async fn listeners_end_when_they_are_told_to() {
    let place = TempDir::new().unwrap();
    let stop = CancellationToken::new();
    let listener = UnixListener::bind(&place.path().join("agent.sock")).unwrap();
    let serving = tokio::spawn(listener.serve(router(agent()), stop.clone()));
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap();
}
