//! Addresses, routes and packet size of a real interface, in a network namespace of its own.
#![allow(clippy::print_stderr, reason = "a test that cannot run here says so")]

use std::net::IpAddr;

use nix::sched::{CloneFlags, unshare};
use sb_wireguard::{AllowedIp, Link, LinkError};

const NAME: &str = "sbl0";

/// A TUN device that lives as long as the value, in a namespace that ends with the thread.
fn with_a_device(work: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: a network namespace needs root");
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let _device = tun_rs::DeviceBuilder::new().name(NAME).build_sync().expect("a TUN device");
        work();
    });
    thread.join().expect("the work in the namespace succeeds");
}

fn range(text: &str) -> AllowedIp {
    text.parse().expect("a range")
}

#[test]
fn a_link_has_the_addresses_and_routes_that_it_is_given() {
    with_a_device(|| {
        let mut link = Link::open(NAME).unwrap();
        link.bring_up(1380).unwrap();
        let [four, six]: [IpAddr; 2] = ["10.0.1.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        for address in [four, six, four] {
            link.add_address(address).unwrap();
        }
        for text in ["10.0.2.1/32", "10.0.2.1/32", "fd00::2/128"] {
            link.add_route(range(text), None).unwrap();
        }
        let state = link.observe().unwrap();
        assert_eq!((state.mtu, state.is_up), (1380, true));
        assert_eq!(state.addresses.into_iter().collect::<Vec<_>>(), vec![(four, 32), (six, 128)]);
        assert_eq!(
            state.routes.into_iter().collect::<Vec<_>>(),
            vec![(range("10.0.2.1/32"), None), (range("fd00::2/128"), None)]
        );
    });
}

#[test]
fn a_route_is_narrowed_and_widened_in_place() {
    with_a_device(|| {
        let mut link = Link::open(NAME).unwrap();
        link.bring_up(1420).unwrap();
        let [four, six] = [range("10.0.2.1/32"), range("fd00::2/128")];
        for (size, again) in [(None, Some(1300)), (Some(1300), Some(1280)), (Some(1280), None)] {
            for route in [four, six] {
                link.add_route(route, size).unwrap();
            }
            assert_eq!(link.observe().unwrap().routes, [(four, size), (six, size)].into());
            for route in [four, six] {
                link.add_route(route, again).unwrap();
            }
            assert_eq!(link.observe().unwrap().routes, [(four, again), (six, again)].into());
        }
    });
}

#[test]
fn what_is_taken_away_twice_is_gone_once() {
    with_a_device(|| {
        let mut link = Link::open(NAME).unwrap();
        link.bring_up(1420).unwrap();
        let address: IpAddr = "10.0.1.1".parse().unwrap();
        link.add_address(address).unwrap();
        link.add_route(range("10.0.2.1/32"), None).unwrap();
        for _ in 0..2 {
            link.remove_route(range("10.0.2.1/32")).unwrap();
            link.remove_address(address, 32).unwrap();
        }
        let state = link.observe().unwrap();
        assert!(state.addresses.is_empty() && state.routes.is_empty(), "{state:?}");
    });
}

#[test]
fn an_interface_that_is_not_there_is_missing_and_its_removal_done() {
    with_a_device(|| {
        assert!(matches!(Link::open("sbl9"), Err(LinkError::Missing(name)) if name == "sbl9"));
        Link::remove("sbl9").unwrap();
        Link::remove(NAME).unwrap();
        assert!(matches!(Link::open(NAME), Err(LinkError::Missing(_))));
    });
}
