use proptest::prelude::*;
use sb_wireguard::uapi::{self, Request};

use crate::generated::{changes, interface};

fn texts(changes: &[sb_wireguard::Change]) -> Vec<String> {
    uapi::write_requests(changes).iter().map(|message| message.to_string()).collect()
}

proptest! {
    #[test]
    fn changes_read_back_as_written(changes in changes()) {
        let written = texts(&changes);
        let mut read = Vec::new();
        for text in &written {
            prop_assert_eq!(uapi::message_length(text.as_bytes()), Some(text.len()));
            let Request::Set(changes) = Request::read(text).unwrap() else { panic!("a get: {text}") };
            read.extend(changes);
        }
        prop_assert_eq!(read.len(), changes.len());
        prop_assert_eq!(texts(&read), written);
    }

    #[test]
    fn an_interface_reads_back_as_written(interface in interface()) {
        let written = uapi::write_state(&interface);
        prop_assert_eq!(uapi::message_length(written.as_bytes()), Some(written.len()));
        let read = uapi::read_state(&written).unwrap();
        let again = uapi::write_state(&read);
        prop_assert_eq!(again.as_str(), written.as_str());
    }

    #[test]
    fn no_message_makes_a_reader_panic(text in "(get=1|set=1|errno=-?[0-9]{1,2}|[a-z_]{1,12}=[0-9a-f:./-]{0,70}|.{0,20}|\n){0,12}\n{0,2}") {
        let _ = Request::read(&text);
        let _ = uapi::read_state(&text);
        let _ = uapi::message_length(text.as_bytes());
    }

    #[test]
    fn no_known_key_makes_a_reader_panic(
        lines in prop::collection::vec((
            prop::sample::select(vec![
                "private_key", "listen_port", "fwmark", "replace_peers", "public_key", "preshared_key", "endpoint",
                "persistent_keepalive_interval", "replace_allowed_ips", "allowed_ip", "remove", "update_only",
                "protocol_version", "last_handshake_time_sec", "last_handshake_time_nsec", "rx_bytes", "errno",
            ]),
            "true|-?[0-9.:a-f\\[\\]]{0,40}/?[0-9]{0,4}|[0-9a-f]{64}|\\PC{0,30}",
        ), 0..12),
    ) {
        let body: String = lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let _ = Request::read(&format!("set=1\n{body}\n"));
        let _ = uapi::read_state(&format!("{body}errno=0\n\n"));
    }
}
