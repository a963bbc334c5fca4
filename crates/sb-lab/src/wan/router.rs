//! The pure part of the wide-area network: packets and the time go in, due packets come out.
//!
//! It opens no device, reads no clock and draws its randomness from a seed, so a run can be repeated exactly.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::net::Ipv4Addr;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::link::{Link, LinkQuality, Refused};
use super::packet::destination;

/// A namespace's connection to the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub usize);

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is no IPv4 packet, or nobody has its destination.
    NoRoute,
    /// The sender's or the receiver's host is dark.
    Dark,
    /// This direction is cut.
    Cut,
    /// The link's loss hit it.
    Lost,
    /// The link's queue is full.
    QueueFull,
}

/// A packet that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Whom to give it to.
    pub to: PortId,
    /// The packet, header first.
    pub packet: Vec<u8>,
}

/// Every link, and every packet on its way.
#[derive(Debug)]
pub struct Router {
    addresses: HashMap<Ipv4Addr, PortId>,
    dark: Vec<bool>,
    /// One for each ordered pair of ports, by `from * ports + to`.
    links: Vec<Link>,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    accepted: u64,
    rng: SmallRng,
}

impl Router {
    /// A router between these addresses; port `n` has the `n`-th. Links have no delay until told.
    #[must_use]
    pub fn new(addresses: &[Ipv4Addr], seed: u64) -> Self {
        let ports = addresses.len();
        Self {
            addresses: addresses.iter().copied().zip((0..).map(PortId)).collect(),
            dark: vec![false; ports],
            links: vec![Link::default(); ports * ports],
            under_way: BinaryHeap::new(),
            accepted: 0,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// Takes a packet that a namespace has sent.
    ///
    /// # Errors
    /// Why it was dropped.
    pub fn enqueue(&mut self, from: PortId, packet: Vec<u8>, now: Instant) -> Result<(), Dropped> {
        let address = destination(&packet).ok_or(Dropped::NoRoute)?;
        let to = *self.addresses.get(&address).ok_or(Dropped::NoRoute)?;
        if self.dark[from.0] || self.dark[to.0] {
            return Err(Dropped::Dark);
        }
        let link = self.link_index(from, to);
        let arrives = self.links[link].accept(packet.len(), now, &mut self.rng).map_err(Dropped::from)?;
        self.under_way.push(Reverse(UnderWay { arrives, order: self.accepted, link, to, packet }));
        self.accepted += 1;
        Ok(())
    }

    /// The next packet that has arrived by `now`, oldest first. Packets that were under way when their link was
    /// cut, or their receiver went dark, never arrive.
    pub fn poll(&mut self, now: Instant) -> Option<Delivery> {
        while self.next_arrival()? <= now {
            let Reverse(packet) = self.under_way.pop()?;
            self.links[packet.link].leave(packet.packet.len());
            if !self.links[packet.link].cut && !self.dark[packet.to.0] {
                return Some(Delivery { to: packet.to, packet: packet.packet });
            }
        }
        None
    }

    /// When [`Router::poll`] has something to do next.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(packet)| packet.arrives)
    }

    /// Sets one direction's quality; packets under way keep their time.
    pub fn set_quality(&mut self, from: PortId, to: PortId, quality: LinkQuality) {
        let link = self.link_index(from, to);
        self.links[link].quality = quality;
    }

    /// One direction's quality.
    #[must_use]
    pub fn quality(&self, from: PortId, to: PortId) -> LinkQuality {
        self.links[self.link_index(from, to)].quality
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: PortId, to: PortId) {
        let link = self.link_index(from, to);
        self.links[link].cut = true;
    }

    /// Undoes every cut. Dark hosts stay dark.
    pub fn heal(&mut self) {
        for link in &mut self.links {
            link.cut = false;
        }
    }

    /// Whether one direction is cut.
    #[must_use]
    pub fn is_cut(&self, from: PortId, to: PortId) -> bool {
        self.links[self.link_index(from, to)].cut
    }

    /// The host behind this port sends and receives nothing any more.
    pub fn darken(&mut self, port: PortId) {
        self.dark[port.0] = true;
    }

    /// The host behind this port is back.
    pub fn light(&mut self, port: PortId) {
        self.dark[port.0] = false;
    }

    /// Whether the host behind this port is dark.
    #[must_use]
    pub fn is_dark(&self, port: PortId) -> bool {
        self.dark[port.0]
    }

    fn link_index(&self, from: PortId, to: PortId) -> usize {
        from.0 * self.dark.len() + to.0
    }
}

impl From<Refused> for Dropped {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Cut => Self::Cut,
            Refused::Lost => Self::Lost,
            Refused::QueueFull => Self::QueueFull,
        }
    }
}

#[derive(Debug)]
struct UnderWay {
    arrives: Instant,
    /// Breaks ties, so that packets of one instant keep their order.
    order: u64,
    link: usize,
    to: PortId,
    packet: Vec<u8>,
}

impl Ord for UnderWay {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.arrives, self.order).cmp(&(other.arrives, other.order))
    }
}

impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for UnderWay {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for UnderWay {}
