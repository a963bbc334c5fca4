//! Laws of the wide-area router, for any traffic.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sb_lab::wan::{Delivery, Dropped, LinkQuality, PortId, QUEUE_BYTES_MAX, Router};

const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 2, 1), Ipv4Addr::new(10, 0, 3, 1)];

/// A packet that carries its own number.
fn packet(to: usize, number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0u8; bytes.max(24)];
    packet[0] = 0x45;
    packet[16..20].copy_from_slice(&ADDRESSES[to].octets());
    packet[20..24].copy_from_slice(&number.to_be_bytes());
    packet
}

fn number(delivery: &Delivery) -> u32 {
    u32::from_be_bytes(delivery.packet[20..24].try_into().expect("four bytes"))
}

fn drain(router: &mut Router, now: Instant) -> Vec<Delivery> {
    std::iter::from_fn(|| router.poll(now)).collect()
}

#[derive(Debug, Clone)]
struct Sent {
    from: usize,
    to: usize,
    bytes: usize,
    pause_us: u64,
}

fn traffic() -> impl Strategy<Value = Vec<Sent>> {
    let one = (0..3usize, 0..3usize, 24..1500usize, 0..3_000u64)
        .prop_map(|(from, to, bytes, pause_us)| Sent { from, to, bytes, pause_us });
    prop::collection::vec(one, 1..200)
}

fn quality() -> impl Strategy<Value = LinkQuality> {
    (0..80_000u64, 0..20_000u64, prop::option::of(10_000..10_000_000u64)).prop_map(|(delay, jitter, rate)| {
        LinkQuality {
            delay: Duration::from_micros(delay),
            jitter: Duration::from_micros(jitter),
            loss_per_million: 0,
            rate_bytes_per_second: rate,
        }
    })
}

fn router_with(quality: LinkQuality, seed: u64) -> Router {
    let mut router = Router::new(&ADDRESSES, seed);
    for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (PortId(from), PortId(to)))) {
        router.set_quality(from, to, quality);
    }
    router
}

proptest! {
    #[test]
    fn every_packet_arrives_once_in_order_and_never_early(
        sent in traffic(), quality in quality(), seed in any::<u64>(),
    ) {
        let mut router = router_with(quality, seed);
        let mut now = Instant::now();
        let mut times = Vec::new();
        let mut arrived: Vec<(Instant, Delivery)> = Vec::new();
        for (index, one) in sent.iter().enumerate() {
            now += Duration::from_micros(one.pause_us);
            arrived.extend(drain(&mut router, now).into_iter().map(|delivery| (now, delivery)));
            let taken = router.enqueue(PortId(one.from), packet(one.to, u32::try_from(index).unwrap(), one.bytes), now);
            prop_assert_eq!(taken, Ok(()));
            times.push(now);
        }
        while let Some(next) = router.next_arrival() {
            now = now.max(next);
            arrived.extend(drain(&mut router, now).into_iter().map(|delivery| (now, delivery)));
        }
        prop_assert_eq!(arrived.len(), sent.len());
        let mut newest = [[None; 3]; 3];
        for (at, delivery) in &arrived {
            let index = number(delivery) as usize;
            let one = &sent[index];
            prop_assert_eq!(delivery.to, PortId(one.to));
            prop_assert!(*at >= times[index] + quality.delay, "packet {} was early", index);
            let last = &mut newest[one.from][one.to];
            prop_assert!(last.is_none_or(|last| last < index), "packet {} overtook another", index);
            *last = Some(index);
        }
    }

    #[test]
    fn a_cut_stops_one_direction_and_nothing_else(sent in traffic(), quality in quality(), at in 0..200usize) {
        let mut router = router_with(quality, 1);
        let now = Instant::now();
        let (from, to) = (PortId(0), PortId(1));
        let mut expected = 0;
        for (index, one) in sent.iter().enumerate() {
            if index == at {
                router.cut(from, to);
            }
            let on_the_cut_link = one.from == from.0 && one.to == to.0;
            let taken = router.enqueue(PortId(one.from), packet(one.to, 0, one.bytes), now);
            prop_assert_eq!(taken.is_err(), index >= at && on_the_cut_link);
            // What was under way on the link is lost with it.
            expected += usize::from(!(on_the_cut_link && at < sent.len()));
        }
        prop_assert_eq!(drain(&mut router, now + Duration::from_secs(3_600)).len(), expected);
        prop_assert_eq!(router.next_arrival(), None);
    }

    #[test]
    fn a_rate_limit_is_kept_over_any_traffic(sizes in prop::collection::vec(24..1500usize, 2..100), rate in 10_000..1_000_000u64) {
        let quality = LinkQuality { rate_bytes_per_second: Some(rate), ..LinkQuality::default() };
        let mut router = router_with(quality, 1);
        let start = Instant::now();
        for bytes in &sizes {
            router.enqueue(PortId(0), packet(1, 0, *bytes), start).unwrap();
        }
        let mut now = start;
        let mut bytes = 0;
        while let Some(next) = router.next_arrival() {
            now = next;
            bytes += drain(&mut router, now).iter().map(|delivery| delivery.packet.len()).sum::<usize>();
        }
        let least = bytes as f64 / rate as f64;
        let took = (now - start).as_secs_f64();
        prop_assert!((took - least).abs() < 1e-4, "{bytes} bytes took {took} s instead of {least} s");
    }
}

#[test]
fn a_full_queue_drops_the_newest_and_empties_again() {
    let mut router = router_with(LinkQuality::with_delay(Duration::from_millis(40)), 1);
    let now = Instant::now();
    let fits = QUEUE_BYTES_MAX / 1_000;
    for _ in 0..fits {
        assert_eq!(router.enqueue(PortId(0), packet(1, 0, 1_000), now), Ok(()));
    }
    assert_eq!(router.enqueue(PortId(0), packet(1, 0, 1_000), now), Err(Dropped::QueueFull));
    assert_eq!(router.enqueue(PortId(1), packet(0, 0, 1_000), now), Ok(()), "the other direction is free");
    let later = now + Duration::from_millis(40);
    assert_eq!(drain(&mut router, later).len(), fits + 1);
    assert_eq!(router.enqueue(PortId(0), packet(1, 0, 1_000), later), Ok(()));
}

#[test]
fn loss_takes_about_its_share_and_a_seed_repeats_it() {
    let lossy = LinkQuality { loss_per_million: 300_000, ..LinkQuality::default() };
    let survivors = |seed| {
        let mut router = router_with(lossy, seed);
        let now = Instant::now();
        (0..10_000).filter(|n| router.enqueue(PortId(0), packet(1, *n, 24), now).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(survivors(7), survivors(7));
    assert_ne!(survivors(7), survivors(8));
    assert!((6_800..7_200).contains(&survivors(7).len()));
}

#[test]
fn a_dark_host_neither_sends_nor_receives_until_it_is_back() {
    let mut router = router_with(LinkQuality::with_delay(Duration::from_millis(5)), 1);
    let now = Instant::now();
    router.enqueue(PortId(0), packet(1, 0, 100), now).unwrap();
    router.darken(PortId(1));
    assert_eq!(router.enqueue(PortId(0), packet(1, 0, 100), now), Err(Dropped::Dark));
    assert_eq!(router.enqueue(PortId(1), packet(2, 0, 100), now), Err(Dropped::Dark));
    router.heal();
    assert!(router.is_dark(PortId(1)), "healing links does not switch hosts on");
    assert!(drain(&mut router, now + Duration::from_secs(1)).is_empty());
    router.light(PortId(1));
    router.enqueue(PortId(0), packet(1, 0, 100), now).unwrap();
    assert_eq!(drain(&mut router, now + Duration::from_secs(1)).len(), 1);
}

#[test]
fn a_packet_for_nobody_has_no_route() {
    let mut router = router_with(LinkQuality::default(), 1);
    let mut stray = packet(1, 0, 100);
    stray[16..20].copy_from_slice(&[192, 0, 2, 1]);
    assert_eq!(router.enqueue(PortId(0), stray, Instant::now()), Err(Dropped::NoRoute));
}
