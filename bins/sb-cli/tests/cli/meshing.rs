//! What is shown of the mesh.

use insta::assert_snapshot;
use sb_api::{Mesh, MeshPeer, MeshPeerState, MeshPreshared, MeshServer, MeshStatus, PresharedStep};

use crate::agent::FakeAgent;

/// A peer that answers every probe, whatever its size.
fn peer(name: &str, round_trip_us: u64) -> MeshPeer {
    MeshPeer {
        name: name.into(),
        state: MeshPeerState::Up,
        public_key: "key".into(),
        wanted_endpoints: Vec::new(),
        endpoint: Some("192.0.2.1:51820".into()),
        via: None,
        addresses: vec!["10.0.1.1/32".into()],
        keepalive_seconds: 25,
        handshake_age_seconds: Some(12),
        received_bytes: 2048,
        sent_bytes: 100,
        round_trip_us: Some(round_trip_us),
        last_round_trip_us: Some(round_trip_us),
        loss_percent: Some(0),
        full_size: Some(true),
        mtu: Some(1420),
        mtu_passes: Some(true),
        clock_offset_us: Some(-1_500),
        clock_uncertainty_us: Some(round_trip_us / 2),
        preshared: None,
    }
}

fn unheard(name: &str, state: MeshPeerState) -> MeshPeer {
    MeshPeer {
        state,
        handshake_age_seconds: None,
        round_trip_us: None,
        last_round_trip_us: None,
        loss_percent: Some(100),
        full_size: None,
        mtu_passes: None,
        clock_offset_us: None,
        clock_uncertainty_us: None,
        ..peer(name, 0)
    }
}

/// A pair that shares a key since so long, and one that is on its way.
fn shared(age_seconds: Option<u64>, step: Option<PresharedStep>) -> MeshPreshared {
    MeshPreshared {
        peer: "ravena-1".into(),
        revision: 3,
        key: age_seconds.map(|_| "00112233445566ff".into()),
        age_seconds,
        step,
        waits: step.map(|_| "no route".into()),
    }
}

fn server(name: &str, peers: Vec<MeshPeer>) -> MeshServer {
    let status = MeshStatus {
        interface: "sb0".into(),
        kind: "userspace".into(),
        address: "10.0.1.1".into(),
        public_key: "key".into(),
        listen_port: 51820,
        mtu: 1420,
        peers,
        without_key: Vec::new(),
        differences: Vec::new(),
    };
    MeshServer { name: name.into(), mesh: Some(status), round_trip_us: None }
}

/// A mesh with one fault of each kind.
fn troubled() -> Mesh {
    let narrow = MeshPeer {
        full_size: Some(false),
        mtu: Some(1213),
        preshared: Some(shared(None, Some(PresharedStep::Offer))),
        ..peer("nantucket-1", 15_040)
    };
    let hole = MeshPeer { full_size: Some(false), mtu_passes: Some(false), ..peer("ravena-1", 15_000) };
    let lossy = MeshPeer {
        loss_percent: Some(7),
        preshared: Some(shared(Some(9 * 86_400), None)),
        ..peer("tucson-1", 75_260)
    };
    let carried =
        MeshPeer { via: Some("ravena-1".into()), state: MeshPeerState::Silent, ..peer("tucson-1", 90_000) };
    let servers = vec![
        MeshServer { name: "burlington-1".into(), mesh: None, round_trip_us: None },
        server("nantucket-1", vec![unheard("burlington-1", MeshPeerState::Silent), hole, carried]),
        server("ravena-1", vec![unheard("burlington-1", MeshPeerState::Up), narrow, lossy]),
        server(
            "tucson-1",
            vec![
                unheard("burlington-1", MeshPeerState::Never),
                peer("nantucket-1", 90_000),
                peer("ravena-1", 75_300),
            ],
        ),
    ];
    Mesh { observer: "ravena-1".into(), servers }
}

#[test]
fn the_matrix_shows_every_pair_from_both_ends_and_says_what_its_words_mean() {
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &troubled());
    assert_snapshot!(agent.run(&["net", "matrix"]), @r"
    exit: 0
    stdout:
    SEEN FROM     burlington-1  nantucket-1      ravena-1             tucson-1
    burlington-1  -             ?                ?                    ?
    nantucket-1   silent        -                15.0 ms, BLACK HOLE  90.0 ms, via ravena-1
    ravena-1      no answer     15.0 ms, <=1213  -                    75.3 ms, 7% lost
    tucson-1      never         90.0 ms          75.3 ms              -
    N% lost: of the last minute's small probes, there or back
    <=N: larger packets get lost on the way, and packets of up to N bytes are used
    BLACK HOLE: large packets get lost on the way, small ones pass
    ");
}

#[test]
fn the_status_of_a_servers_mesh_is_a_row_a_peer() {
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &troubled());
    assert_snapshot!(agent.run(&["net", "status"]), @r"
    exit: 0
    stdout:
    PEER          STATE  PATH    HANDSHAKE  RTT      LOSS  MTU    CLOCK       SHARED KEY        ENDPOINT         ADDRESSES    RECEIVED  SENT
    burlington-1  up     direct  -          -        100%  1420?  -           -                 192.0.2.1:51820  10.0.1.1/32  2 KiB     100 B
    nantucket-1   up     direct  12 s ago   15.0 ms  0%    1213   -1 +-8 ms   none, new: offer  192.0.2.1:51820  10.0.1.1/32  2 KiB     100 B
    tucson-1      up     direct  12 s ago   75.3 ms  7%    1420   -1 +-38 ms  9 d               192.0.2.1:51820  10.0.1.1/32  2 KiB     100 B
    ");
}

#[test]
fn an_answer_of_an_agent_that_does_not_probe_is_shown_as_far_as_it_goes() {
    let mut said = serde_json::to_value(troubled()).unwrap();
    for server in said["servers"].as_array_mut().unwrap() {
        let peers = server.pointer_mut("/mesh/peers").and_then(serde_json::Value::as_array_mut);
        for peer in peers.into_iter().flatten() {
            let peer = peer.as_object_mut().unwrap();
            let later =
                ["round_trip_us", "last_round_trip_us", "loss_percent", "full_size", "mtu", "mtu_passes"];
            for field in later.into_iter().chain(["clock_offset_us", "clock_uncertainty_us"]) {
                peer.remove(field);
            }
        }
    }
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &said);
    assert_snapshot!(agent.run(&["net", "matrix"]), @r"
    exit: 0
    stdout:
    SEEN FROM     burlington-1  nantucket-1  ravena-1  tucson-1
    burlington-1  -             ?            ?         ?
    nantucket-1   silent        -            up 12 s   via ravena-1
    ravena-1      up            up 12 s      -         up 12 s
    tucson-1      never         up 12 s      up 12 s   -
    ");
}

#[test]
fn the_keys_of_all_servers_are_shown_as_the_others_know_them() {
    let mut mesh = troubled();
    let peers =
        mesh.servers.iter_mut().filter_map(|server| server.mesh.as_mut()).flat_map(|mesh| &mut mesh.peers);
    peers.for_each(|peer| peer.public_key = format!("the key of {}", peer.name));
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &mesh);
    assert_snapshot!(agent.run(&["net", "keys"]), @r"
    exit: 0
    stdout:
    SERVER        PUBLIC KEY               SESSION
    burlington-1  the key of burlington-1  up
    nantucket-1   the key of nantucket-1   up
    ravena-1      key                      this server
    tucson-1      the key of tucson-1      up
    ");
}

#[test]
fn a_server_that_nobody_hears_may_have_another_key() {
    let silent = || unheard("tucson-1", MeshPeerState::Silent);
    let servers = vec![
        server("burlington-1", vec![peer("ravena-1", 8_000), silent()]),
        server("ravena-1", vec![peer("burlington-1", 8_000), silent()]),
        MeshServer { name: "tucson-1".into(), mesh: None, round_trip_us: None },
    ];
    let mesh = Mesh { observer: "ravena-1".into(), servers };
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &mesh);
    assert_snapshot!(agent.run(&["net", "status"]), @r"
    exit: 0
    stdout:
    PEER          STATE   PATH    HANDSHAKE  RTT     LOSS  MTU    CLOCK      SHARED KEY  ENDPOINT         ADDRESSES    RECEIVED  SENT
    burlington-1  up      direct  12 s ago   8.0 ms  0%    1420   -1 +-4 ms  -           192.0.2.1:51820  10.0.1.1/32  2 KiB     100 B
    tucson-1      silent  direct  -          -       100%  1420?  -          -           192.0.2.1:51820  10.0.1.1/32  2 KiB     100 B
    stderr:
    hint: Nobody hears `tucson-1`. If it runs and has another key since it was set up anew,
          which `sb-agent mesh-key` prints there: sb-cli net accept-key tucson-1 PUBLICKEY
    ");
}

#[test]
fn a_server_that_hears_nobody_says_what_to_ask_elsewhere() {
    let never = |name| unheard(name, MeshPeerState::Never);
    let servers = vec![
        MeshServer { name: "burlington-1".into(), mesh: None, round_trip_us: None },
        server("ravena-1", vec![never("burlington-1")]),
    ];
    let mesh = Mesh { observer: "ravena-1".into(), servers };
    let agent = FakeAgent::start().answers("GET /v1/mesh", 200, &mesh);
    let said = agent.run(&["net", "status"]);
    let hint = said.split_once("stderr:\n").expect("a hint").1;
    assert_snapshot!(hint, @r"
    hint: This server hears no other one. If it was set up anew, its sites.json may name keys that were
          replaced, or the others may know it by its old one. On a server that is heard: sb-cli net keys
          and: sb-cli net accept-key ravena-1 key
    ");
}
