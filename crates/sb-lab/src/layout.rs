//! Which machines of the lab are servers of the cluster, and what each of them is for.

use clap::ValueEnum;

use crate::place::Place;

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It runs agent, guard and PostgreSQL.
    Database,
    /// Its agent votes in the store; it has no PostgreSQL, and so nothing to guard.
    Witness,
}

/// A choice of sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Layout {
    /// Six servers at five sites.
    #[default]
    FiveSites,
    /// A server each at Ravena and Burlington, and a witness at Montpelier.
    TwoSites,
    /// Two servers at Ravena, one at Burlington, and nobody else: no server takes over by itself.
    TwoSitesAlone,
}

impl Layout {
    /// Every server, in the order of [`Place::servers`].
    pub fn servers(self) -> impl Iterator<Item = (Place, Duty)> + Clone {
        Place::servers().filter_map(move |place| Some((place, self.duty(place)?)))
    }

    /// The servers that have PostgreSQL.
    pub fn databases(self) -> impl Iterator<Item = Place> + Clone {
        self.servers().filter(|(_, duty)| *duty == Duty::Database).map(|(place, _)| place)
    }

    /// What this machine is for; nothing where it is no server.
    #[must_use]
    pub fn duty(self, place: Place) -> Option<Duty> {
        let server = Place::servers().any(|server| server == place);
        match (self, place.name()) {
            (Self::FiveSites, _) if server => Some(Duty::Database),
            (Self::TwoSites, "ravena-1" | "burlington-1")
            | (Self::TwoSitesAlone, "ravena-1" | "ravena-2" | "burlington-1") => Some(Duty::Database),
            (Self::TwoSites, "montpelier-1") => Some(Duty::Witness),
            (Self::FiveSites | Self::TwoSites | Self::TwoSitesAlone, _) => None,
        }
    }

    /// In words, as a subject.
    #[must_use]
    pub fn described(self) -> &'static str {
        match self {
            Self::FiveSites => "six servers at five sites",
            Self::TwoSites => "two servers at two sites and a witness",
            Self::TwoSitesAlone => "three servers at two sites",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layout: Layout) -> Vec<(&'static str, Duty)> {
        layout.servers().map(|(place, duty)| (place.name(), duty)).collect()
    }

    #[test]
    fn five_sites_have_every_server_and_the_office_is_none() {
        assert_eq!(names(Layout::FiveSites).len(), Place::servers().count());
        assert_eq!(Layout::FiveSites.duty(Place::OFFICE), None);
    }

    #[test]
    fn a_witness_stands_at_a_site_of_its_own() {
        let witnesses: Vec<_> =
            Layout::TwoSites.servers().filter(|(_, duty)| *duty == Duty::Witness).collect();
        let [(witness, _)] = witnesses[..] else { panic!("{witnesses:?}") };
        assert!(Layout::TwoSites.databases().all(|place| place.site() != witness.site()));
        assert_eq!(Layout::TwoSitesAlone.databases().count(), names(Layout::TwoSitesAlone).len());
    }
}
