//! The whole network of the lab: a namespace for every place, and the router between them.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::fault::LossPercent;
use crate::namespace::NetworkNamespace;
use crate::options::Mesh;
use crate::outside::STRANGER;
use crate::place::Place;
use crate::port_cuts::PortCuts;
use crate::wan::{Carrier, LinkQuality, PortId, Router, Wan};

/// Same losses and the same jitter in every lab.
const SEED: u64 = 15;

/// Namespaces and the wide-area network between them. Dropping it takes the network away.
#[derive(Debug)]
pub struct Network {
    /// By [`Place::index`].
    namespaces: Vec<NetworkNamespace>,
    /// A host of nobody here, where there is a mesh to be outside of.
    stranger: Option<NetworkNamespace>,
    carrier: Carrier,
    port_cuts: Arc<PortCuts>,
}

impl Network {
    /// Makes a namespace for every place and connects them, with the distances of the real sites.
    ///
    /// # Errors
    /// When the system refuses a namespace or a TUN device.
    pub fn build(mesh: Mesh) -> io::Result<Self> {
        let places = Place::all().map(|place| match mesh {
            Mesh::Off => place.address(),
            Mesh::On => place.public_address(),
        });
        let stranger = (mesh == Mesh::On).then_some(STRANGER);
        let addresses: Vec<_> = places.chain(stranger).collect();
        let made = addresses.iter().map(|address| NetworkNamespace::create(*address));
        let (mut namespaces, devices): (Vec<_>, Vec<_>) =
            made.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
        let stranger = stranger.and_then(|_| namespaces.pop());
        let mut router = Router::new(&addresses, SEED);
        for from in Place::all() {
            for to in Place::all() {
                router.set_quality(port(from), port(to), LinkQuality::with_delay(from.round_trip(to) / 2));
            }
        }
        let servers = Place::servers().map(|place| namespaces[place.index()].handle());
        let port_cuts = Arc::new(PortCuts::new(servers.collect::<io::Result<_>>()?));
        Ok(Self { namespaces, stranger, carrier: Carrier::start(router, devices)?, port_cuts })
    }

    /// The namespace of a place.
    #[must_use]
    pub fn namespace(&self, place: Place) -> &NetworkNamespace {
        &self.namespaces[place.index()]
    }

    /// The namespace of a host that is no member of the mesh, where there is one.
    #[must_use]
    pub fn stranger(&self) -> Option<&NetworkNamespace> {
        self.stranger.as_ref()
    }

    /// The links, for faults.
    #[must_use]
    pub fn links(&self) -> Links {
        Links { wan: self.carrier.wan(), port_cuts: Arc::clone(&self.port_cuts) }
    }
}

/// The links of the network, to cut and to heal.
#[derive(Debug, Clone)]
pub struct Links {
    wan: Wan,
    port_cuts: Arc<PortCuts>,
}

impl Links {
    /// Drops everything from the ones to the others.
    pub fn cut(&self, from: &[Place], to: &[Place]) {
        let mut router = self.wan.router();
        for (from, to) in pairs(from, to) {
            router.cut(port(from), port(to));
        }
    }

    /// Drops everything between the ones and the others.
    pub fn cut_both(&self, left: &[Place], right: &[Place]) {
        self.cut(left, right);
        self.cut(right, left);
    }

    /// Cuts these from every other server; they still reach each other, and the office, which has its own line.
    pub fn isolate(&self, inside: &[Place]) {
        let others: Vec<Place> = Place::servers().filter(|place| !inside.contains(place)).collect();
        self.cut_both(inside, &others);
    }

    /// Cuts a place from everybody, the office too.
    pub fn unplug(&self, place: Place) {
        let others: Vec<Place> = Place::all().filter(|other| *other != place).collect();
        self.cut_both(&[place], &others);
    }

    /// Drops what belongs to this TCP or UDP port between all servers, inside the mesh too; everything else passes.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub fn cut_port(&self, port_number: u16) -> io::Result<()> {
        self.port_cuts.cut(port_number)
    }

    /// Loses this share of the packets between different sites, each way; 0 ends it. Lines inside a site stay whole.
    pub fn lose(&self, share: LossPercent) {
        let all: Vec<Place> = Place::all().collect();
        let mut router = self.wan.router();
        for (from, to) in pairs(&all, &all).filter(|(from, to)| from.site() != to.site()) {
            let quality = router.quality(port(from), port(to));
            let quality = LinkQuality { loss_per_million: share.per_million(), ..quality };
            router.set_quality(port(from), port(to), quality);
        }
    }

    /// Loses so many packets per million on every way from and to these.
    pub fn lose_around(&self, places: &[Place], per_million: u32) {
        let all: Vec<Place> = Place::all().collect();
        let mut router = self.wan.router();
        for (from, to) in pairs(&all, &all).filter(|(from, to)| places.contains(from) || places.contains(to))
        {
            let quality = router.quality(port(from), port(to));
            let quality = LinkQuality { loss_per_million: per_million, ..quality };
            router.set_quality(port(from), port(to), quality);
        }
    }

    /// Undoes every cut and every loss; hosts that are dark stay so.
    ///
    /// # Errors
    /// When ports were cut and `nft` refuses to let them pass again.
    pub fn heal(&self) -> io::Result<()> {
        let all: Vec<Place> = Place::all().collect();
        self.lose_around(&all, 0);
        self.wan.router().heal();
        self.port_cuts.heal()
    }

    /// A host whose power is gone neither sends nor receives.
    pub fn darken(&self, place: Place) {
        self.wan.router().darken(port(place));
    }

    /// Its power is back.
    pub fn light(&self, place: Place) {
        self.wan.router().light(port(place));
    }

    /// Changes how good one direction is.
    pub fn set_quality(&self, from: Place, to: Place, quality: LinkQuality) {
        self.wan.router().set_quality(port(from), port(to), quality);
    }

    /// Every direction that is cut.
    #[must_use]
    pub fn cuts(&self) -> Vec<(Place, Place)> {
        let router = self.wan.router();
        let all: Vec<Place> = Place::all().collect();
        pairs(&all, &all).filter(|(from, to)| router.is_cut(port(*from), port(*to))).collect()
    }

    /// Every port that is cut.
    #[must_use]
    pub fn cut_ports(&self) -> BTreeSet<u16> {
        self.port_cuts.ports()
    }

    /// Whether this host is dark.
    #[must_use]
    pub fn is_dark(&self, place: Place) -> bool {
        self.wan.router().is_dark(port(place))
    }
}

fn port(place: Place) -> PortId {
    PortId(place.index())
}

fn pairs<'a>(left: &'a [Place], right: &'a [Place]) -> impl Iterator<Item = (Place, Place)> + 'a {
    left.iter().flat_map(move |a| right.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b)
}
