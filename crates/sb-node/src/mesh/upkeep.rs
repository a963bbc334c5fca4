//! One interface, kept as wanted: looked at, and put right in the smallest steps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sb_topology::MeshMode;
use sb_wireguard::{
    AllowedIp, Change, DesiredError, DesiredInterface, Difference, Link, ObservedInterface, Origin,
    PresharedKey, PrivateKey, PublicKey, Search, Target, TargetError, diff, is_fresh, plan,
};

use super::agreed::Agreed;
use super::callers::Callers;
use super::interface::{Interface, InterfaceError};
use super::names::Names;
use super::wanted::agreed_on;

/// The interface is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The documents and what is agreed cannot be followed both.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// What is wanted cannot be.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The system refuses.
    #[error(transparent)]
    Interface(#[from] InterfaceError),
}

/// The interface, and what it should be.
pub(super) struct Upkeep {
    /// By the documents.
    pub(super) documented: DesiredInterface,
    /// As it was wanted at the last look: with what is agreed beyond the documents.
    pub(super) desired: DesiredInterface,
    pub(super) private_key: PrivateKey,
    /// What the last look had put in force of keys and addresses.
    in_force: Option<Shape>,
    /// Of the agreement that is followed.
    pub(super) generation: u64,
    mode: MeshMode,
    /// [`None`] until it is made, and from when it has ended until it could be made again.
    interface: Option<Interface>,
    /// Whether it is one of the kernel's that was made here.
    made_in_kernel: bool,
    names: Names,
    search: Search,
    pub(super) callers: Callers,
    /// Largest packet in bytes to each mesh address whose path takes less than the interface.
    pub(super) narrowed: BTreeMap<IpAddr, u16>,
}

/// The own key, and every peer's with its addresses and the secret that is shared with it.
type Shape = (PublicKey, Vec<(PublicKey, Vec<AllowedIp>, Option<PresharedKey>)>);

/// What one look found.
pub(super) struct Look {
    /// How the interface was before it was put right.
    pub(super) observed: ObservedInterface,
    /// In what it was not as wanted.
    pub(super) differences: Vec<Difference>,
    /// The wall clock then, since the Unix epoch.
    pub(super) now: Duration,
    /// The wall clock just before it was put right: what WireGuard dates later was made by what is wanted.
    pub(super) altered: Duration,
    /// Who encrypts.
    pub(super) kind: &'static str,
    /// Whether the interface was there before.
    pub(super) age: Age,
}

/// Whether an interface was there before a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It was made for this look.
    New,
    /// It was there, and something else is wanted of it than at the look before.
    Changed,
    /// It was there.
    Old,
}

impl Upkeep {
    /// Nothing is made before the first look.
    pub(super) fn new(documented: DesiredInterface, private_key: PrivateKey, mode: MeshMode) -> Self {
        Self {
            desired: documented.clone(),
            documented,
            private_key,
            in_force: None,
            generation: 0,
            mode,
            interface: None,
            made_in_kernel: false,
            names: Names::default(),
            search: Search::default(),
            callers: Callers::default(),
            narrowed: BTreeMap::new(),
        }
    }

    /// Looks at the interface, which is made where there is none, and puts it right: as the documents say, and what is
    /// `agreed` beyond them. Names of endpoints are waited for no longer than `patience`. Needs a runtime of several threads:
    /// the kernel is asked on this one.
    pub(super) async fn look(&mut self, patience: Duration, agreed: &Agreed) -> Result<Look, UpkeepError> {
        let (observed, age) = tokio::task::block_in_place(|| self.observe())?;
        let now = since_epoch();
        self.desired = self.documented.clone();
        agreed_on(&mut self.desired, agreed, &observed);
        let shape = self.shape();
        let as_before = self.in_force.as_ref() == Some(&shape);
        let age = if age == Age::Old && !as_before { Age::Changed } else { age };
        let silent: BTreeSet<PublicKey> = self.silent(&observed, now).collect();
        let endpoints = self.desired.peers.iter().flat_map(|peer| &peer.endpoints);
        self.names.look_up(endpoints, !silent.is_empty(), patience).await;
        let target = self.target(&silent, age);
        let differences = diff(&target, &observed, now);
        let changes = plan(&target, &observed, now)?.changes;
        let altered = since_epoch();
        let kind = tokio::task::block_in_place(|| self.carry_out(&changes))?;
        self.in_force = Some(shape);
        tokio::task::block_in_place(|| self.callers.note(&self.desired, &observed, now));
        Ok(Look { observed, differences, now, altered, kind, age })
    }

    /// Takes away what would stay without the program: a kernel's interface that was made here. One that was there before
    /// is somebody else's to remove.
    pub(super) fn end(self) -> Result<(), InterfaceError> {
        if self.made_in_kernel { Ok(Link::remove(&self.desired.name)?) } else { Ok(()) }
    }

    fn observe(&mut self) -> Result<(ObservedInterface, Age), UpkeepError> {
        let (mut interface, age) = match self.interface.take() {
            Some(interface) => (interface, Age::Old),
            None => (Interface::open(&self.desired.name, self.desired.mtu, self.mode)?, Age::New),
        };
        self.made_in_kernel |= matches!(&interface, Interface::Kernel(it) if it.origin() == Origin::Made);
        // It is kept only where it answers: one that has ended is made anew at the next look.
        let observed = interface.observe()?;
        self.interface = Some(interface);
        Ok((observed, age))
    }

    fn carry_out(&mut self, changes: &[Change]) -> Result<&'static str, InterfaceError> {
        let interface = self.interface.as_mut().expect("it was put back after it had answered");
        interface.apply(changes)?;
        let kind = interface.kind();
        self.set_link()?;
        Ok(kind)
    }

    fn shape(&self) -> Shape {
        let peers = self.desired.peers.iter();
        let peers = peers.map(|peer| (peer.public_key, peer.addresses.clone(), peer.preshared_key.clone()));
        (self.private_key.public_key(), peers.collect())
    }

    /// Peers that are called, and not heard.
    fn silent(&self, observed: &ObservedInterface, now: Duration) -> impl Iterator<Item = PublicKey> {
        let called = self.desired.peers.iter().filter(|peer| !peer.endpoints.is_empty());
        called
            .map(|peer| peer.public_key)
            .filter(move |key| !observed.peer(key).is_some_and(|peer| is_fresh(peer.last_handshake, now)))
    }

    fn target(&mut self, silent: &BTreeSet<PublicKey>, age: Age) -> Target {
        let mut target =
            self.desired.target(self.generation, &self.private_key, |endpoint| self.names.of(endpoint));
        self.search.arrange(&mut target.peers, silent, Instant::now());
        if age == Age::New {
            for caller in target.peers.iter_mut().filter(|peer| peer.endpoints.is_empty()) {
                caller.endpoints.extend(self.callers.place_of(&caller.public_key));
            }
        }
        target
    }

    /// Addresses, size of packets and routes. What is there beside them is left alone: an address that somebody added
    /// does no harm to the mesh.
    fn set_link(&self) -> Result<(), InterfaceError> {
        let mut link = Link::open(&self.desired.name)?;
        let state = link.observe()?;
        let mtu = u32::from(self.desired.mtu);
        if !state.is_up || state.mtu != mtu {
            link.bring_up(mtu)?;
        }
        let address = self.desired.address.address();
        if !state.addresses.contains_key(&address) {
            link.add_address(address)?;
        }
        let wanted = self.desired.peers.iter().flat_map(|peer| &peer.addresses);
        for range in wanted {
            let narrowed = self.narrowed.get(&range.address()).map(|bytes| u32::from(*bytes));
            if state.routes.get(range) != Some(&narrowed) {
                link.add_route(*range, narrowed)?;
            }
        }
        Ok(())
    }
}

impl Look {
    /// Whether the interface's own key was another one.
    pub(super) fn swapped_key(&self) -> bool {
        self.age != Age::New && self.differences.contains(&Difference::PrivateKey)
    }

    /// What somebody else had changed. A silent peer that is looked for at its next endpoint is no such change, nor is
    /// what a new interface lacks, or one of which something else is wanted.
    pub(super) fn changed_by_hand(&self) -> Vec<&Difference> {
        let by_hand = |difference: &&Difference| {
            self.age == Age::Old && !matches!(difference, Difference::Endpoint { .. })
        };
        self.differences.iter().filter(by_hand).collect()
    }
}

/// The wall clock is what WireGuard dates handshakes with.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
