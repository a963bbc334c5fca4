use super::*;

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn set(lines: &[String]) -> Result<Vec<Change>, RequestError> {
    match Request::read(&format!("set=1\n{}\n\n", lines.join("\n")))? {
        Request::Set(changes) => Ok(changes),
        Request::Get => panic!("a set was read as a get"),
    }
}

fn peers(changes: &[Change]) -> Vec<&PeerChange> {
    changes
        .iter()
        .filter_map(|change| if let Change::Peer(peer) = change { Some(peer) } else { None })
        .collect()
}

#[test]
fn a_peer_takes_nothing_from_the_one_before() {
    let changes = set(&[
        format!("public_key={}", hex(1)),
        "update_only=true".to_owned(),
        format!("preshared_key={}", hex(9)),
        "endpoint=192.0.2.1:1".to_owned(),
        "persistent_keepalive_interval=25".to_owned(),
        "replace_allowed_ips=true".to_owned(),
        "allowed_ip=10.0.0.1/32".to_owned(),
        format!("public_key={}", hex(2)),
    ])
    .unwrap();

    let second = peers(&changes)[1];
    assert_eq!(second.scope, PeerScope::MadeIfMissing);
    assert!(second.preshared_key.is_none() && second.endpoint.is_none());
    assert!(second.keepalive_seconds.is_none() && second.addresses.is_none());
}

#[test]
fn a_peer_after_a_removed_one_is_made() {
    let changes = set(&[
        format!("public_key={}", hex(1)),
        "remove=true".to_owned(),
        format!("public_key={}", hex(2)),
        "allowed_ip=10.0.0.2/32".to_owned(),
    ])
    .unwrap();

    assert!(matches!(changes[0], Change::RemovePeer(key) if key.to_hex() == hex(1)));
    assert_eq!(peers(&changes)[0].public_key.to_hex(), hex(2));
}

#[test]
fn a_key_of_zeros_is_none() {
    let changes = set(&[
        format!("private_key={}", hex(0)),
        format!("public_key={}", hex(1)),
        format!("preshared_key={}", hex(0)),
    ])
    .unwrap();

    assert!(matches!(changes[0], Change::PrivateKey(None)));
    assert_eq!(peers(&changes)[0].preshared_key, Some(None));
}

#[test]
fn the_last_word_on_a_range_counts() {
    let key = || format!("public_key={}", hex(1));
    let line = |value: &str| format!("allowed_ip={value}");
    let range = |text: &str| text.parse::<AllowedIp>().unwrap();
    let read = |lines: &[String]| peers(&set(lines).unwrap())[0].addresses.clone().unwrap();

    let altered = read(&[key(), line("10.0.0.1/32"), line("-10.0.0.1/32"), line("10.0.0.2/32")]);
    let (more, less) = (vec![range("10.0.0.2/32")], vec![range("10.0.0.1/32")]);
    assert_eq!(altered, AddressesChange::Alter { more, less });

    let replace = "replace_allowed_ips=true".to_owned();
    let replaced = read(&[key(), line("10.0.0.9/32"), replace, line("fd00::7/64"), line("-10.0.0.1/32")]);
    assert_eq!(replaced, AddressesChange::Replace(vec![range("fd00::/64")]));
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_number() {
    let key = format!("public_key={}", hex(1));
    let cases = [
        ("", RequestError::Operation, Errno::PROTOCOL),
        ("wipe=1\n\n", RequestError::Operation, Errno::PROTOCOL),
        ("get=2\n\n", RequestError::Operation, Errno::PROTOCOL),
        ("get=1\nlisten_port=1\n\n", RequestError::Key { line: 2 }, Errno::INVALID),
        ("set=1\nlisten_port\n\n", RequestError::Form { line: 2 }, Errno::PROTOCOL),
        ("set=1\n\nlisten_port=1\n", RequestError::Form { line: 3 }, Errno::PROTOCOL),
        ("set=1\nlisten_port=65536\n\n", RequestError::Value { line: 2 }, Errno::INVALID),
        ("set=1\nlisten_port=+1\n\n", RequestError::Value { line: 2 }, Errno::INVALID),
        ("set=1\nreplace_peers=false\n\n", RequestError::Value { line: 2 }, Errno::INVALID),
        ("set=1\nendpoint=1.2.3.4:5\n\n", RequestError::Key { line: 2 }, Errno::INVALID),
        ("set=1\nKEY\nprivate_key=0\n\n", RequestError::Key { line: 3 }, Errno::INVALID),
        ("set=1\nKEY\nprotocol_version=2\n\n", RequestError::Value { line: 3 }, Errno::INVALID),
        ("set=1\nKEY\nallowed_ip=10.0.0.1\n\n", RequestError::Value { line: 3 }, Errno::INVALID),
        ("set=1\nKEY\nallowed_ip=10.0.0.1/33\n\n", RequestError::Value { line: 3 }, Errno::INVALID),
        ("set=1\nKEY\nendpoint=1.2.3.4:0\n\n", RequestError::Value { line: 3 }, Errno::INVALID),
        ("set=1\npublic_key=00\n\n", RequestError::Value { line: 2 }, Errno::INVALID),
    ];
    for (text, expected, errno) in cases {
        let error = Request::read(&text.replace("KEY", &key)).unwrap_err();
        assert_eq!((error, error.errno()), (expected, errno), "{text}");
    }
}

#[test]
fn a_request_beyond_the_maxima_is_refused() {
    let peers = format!("public_key={}\n", hex(1)).repeat(REQUEST_PEERS_MAX + 1);
    let ranges = "allowed_ip=10.0.0.1/32\n".repeat(REQUEST_ADDRESSES_MAX + 1);
    let bytes = "x".repeat(REQUEST_BYTES_MAX);
    for body in [peers, format!("public_key={}\n{ranges}", hex(1)), bytes] {
        let error = Request::read(&format!("set=1\n{body}\n")).unwrap_err();
        assert_eq!(error.errno(), Errno::TOO_BIG, "{error}");
    }
}

#[test]
fn what_follows_a_peer_and_is_of_the_interface_gets_a_message_of_its_own() {
    let peer = PublicKey::from_bytes([1; 32]);
    let messages = write_requests(&[
        Change::ListenPort(1),
        Change::RemovePeer(peer),
        Change::PrivateKey(None),
        Change::RemovePeer(peer),
    ]);

    let texts: Vec<_> = messages.iter().map(|message| message.as_str()).collect();
    let removed = format!("public_key={}\nremove=true\n\n", hex(1));
    let first = format!("set=1\nlisten_port=1\n{removed}");
    assert_eq!(texts, [first, format!("set=1\nprivate_key={}\n{removed}", hex(0))]);
}

#[test]
fn no_error_repeats_a_value() {
    let secret = "deadbeef".repeat(9);
    let error = Request::read(&format!("set=1\nprivate_key={secret}\n\n")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("deadbeef"));
}
