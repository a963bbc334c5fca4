use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sb_wireguard::wg_quick::{KeyFiles, QuickFile, QuickPeer, is_as_written};

use crate::generated::{endpoint, preshared_key, private_key, public_key, range};

fn peer() -> impl Strategy<Value = QuickPeer> {
    let address = option::of(endpoint().prop_map(|it| it.to_string().parse().expect("an endpoint")));
    (public_key(), preshared_key(), vec(range(), 0..4), address, any::<u16>()).prop_map(
        |(public_key, preshared_key, addresses, endpoint, keepalive_seconds)| QuickPeer {
            public_key,
            preshared_key,
            addresses,
            endpoint,
            keepalive_seconds,
        },
    )
}

fn file() -> impl Strategy<Value = QuickFile> {
    let numbers = (option::of(any::<u16>()), any::<u32>(), option::of(any::<u16>()));
    let words = (
        vec("[a-z0-9.:]{1,9}", 0..3),
        option::of("[a-z0-9]{1,5}"),
        vec("[!-\"$-~]([ -\"$-~]{0,20}[!-\"$-~])?", 0..3),
    );
    (option::of(private_key()), numbers, vec((range(), 0..=32u8), 0..3), words, vec(peer(), 0..4)).prop_map(
        |(private_key, (listen_port, firewall_mark, mtu), addresses, (dns, table, post_up), peers)| {
            QuickFile {
                private_key,
                listen_port,
                firewall_mark,
                addresses: addresses.into_iter().map(|(range, prefix)| (range.address(), prefix)).collect(),
                dns,
                mtu,
                table,
                pre_up: post_up.iter().rev().cloned().collect(),
                post_up,
                peers,
                ..QuickFile::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn a_file_reads_back_as_written(mut file in file()) {
        let files = KeyFiles { private_key: "/k/own.key".into(), preshared_keys: "/k".into() };
        file.take_secrets(&files).unwrap();
        let written = file.render().unwrap();
        prop_assert!(is_as_written(&written));
        let read = QuickFile::read(&written).map_err(|problems| TestCaseError::fail(format!("{problems:?}")))?;
        prop_assert_eq!(read.render().unwrap(), written);
        prop_assert_eq!(read.addresses, file.addresses);
        prop_assert_eq!(read.post_up, file.post_up);
    }

    #[test]
    fn no_file_makes_the_reader_panic(
        text in "(\\[interface\\]|\\[Peer\\]|(PrivateKey|PublicKey|AllowedIPs|Endpoint|Address|FwMark|MTU|SaveConfig|PersistentKeepalive) ?= ?[0-9a-fx.:/,=\\[\\]-]{0,50}|\\PC{0,20}|\n){0,20}",
    ) {
        let _ = QuickFile::read(&text);
        let _ = is_as_written(&text);
    }
}
