//! The cluster at one moment, as its servers' own agents describe themselves.

use futures_util::future::join_all;
use sb_api::{Role, ServerStatus};

use crate::host::{Host, Power};
use crate::lab::Lab;
use crate::place::Place;

/// One server at one moment.
#[derive(Debug, Clone)]
pub struct ServerPicture {
    /// Which.
    pub place: Place,
    /// Whether it has power.
    pub power: Power,
    /// How often one of its programs has ended.
    pub programs_ended: u32,
    /// What its agent says; nothing while it does not answer.
    pub status: Option<ServerStatus>,
}

impl ServerPicture {
    /// What it is to its clients, by its own word.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.status.as_ref().map(|status| status.role)
    }

    /// Whether it replays what the primary of this name sends.
    #[must_use]
    pub fn follows(&self, primary: Place) -> bool {
        self.status.as_ref().is_some_and(|status| {
            status.role == Role::Standby && status.upstream.as_deref() == Some(primary.name())
        })
    }
}

/// All servers at one moment.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// In the order of [`Place::servers`].
    pub servers: Vec<ServerPicture>,
}

impl Picture {
    /// Asks every agent whose host has power, all at once.
    pub async fn take(lab: &Lab) -> Self {
        let ask = |host: &Host| {
            let (place, power, programs_ended) = (host.place(), host.power(), host.programs_ended());
            async move {
                let status = match power {
                    Power::On => lab.agents().server(place).await.ok(),
                    Power::Off | Power::Frozen => None,
                };
                ServerPicture { place, power, programs_ended, status }
            }
        };
        Self { servers: join_all(lab.hosts().iter().map(ask)).await }
    }

    /// The server that says that it is primary, with the newest term if several do.
    #[must_use]
    pub fn primary(&self) -> Option<&ServerPicture> {
        let primaries = self.servers.iter().filter(|server| server.role() == Some(Role::Primary));
        primaries.max_by_key(|server| self.term_of(server))
    }

    /// The newest term that a primary holds.
    #[must_use]
    pub fn term(&self) -> Option<u64> {
        self.primary().and_then(|server| self.term_of(server))
    }

    /// Whether there is a primary, every other server follows it, and every witness answers.
    #[must_use]
    pub fn whole(&self) -> bool {
        let Some(primary) = self.primary().map(|server| server.place) else { return false };
        let well = |server: &ServerPicture| {
            server.place == primary || server.follows(primary) || server.role() == Some(Role::Witness)
        };
        self.servers.iter().all(well)
    }

    /// One server.
    #[must_use]
    pub fn server(&self, place: Place) -> Option<&ServerPicture> {
        self.servers.iter().find(|server| server.place == place)
    }

    fn term_of(&self, server: &ServerPicture) -> Option<u64> {
        server.status.as_ref().and_then(|status| status.lease).map(|lease| lease.term)
    }
}
