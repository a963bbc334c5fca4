//! Makes the servers' configuration, identity and secrets, as `sb-cli init` does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sb_client::bundle::{BundleError, Cluster, ClusterServer, make_bundles};
use sb_client::state::Secret;
use sb_topology::{NameError, ServerName, SiteName};

use super::documents;
use super::mesh::MeshKeys;
use crate::options::{LabOptions, Mesh};
use crate::place::Place;
use crate::recorder::Access;

/// The cluster's name, which a person types to confirm a dangerous command.
const CLUSTER_NAME: &str = "lab";

/// The bundles could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BundlesError {
    /// The documents could not be written.
    #[error("could not write the lab's documents")]
    Documents(#[source] io::Error),
    /// WireGuard keys could not be made or put into place.
    #[error("could not make the servers' WireGuard keys")]
    Keys(#[source] io::Error),
    /// A server's name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Certificates or files could not be made.
    #[error("could not make the servers' bundles")]
    Bundles(#[source] BundleError),
}

/// What clients are told.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Password of the database's owner.
    pub password: String,
    /// Certificate of the cluster's authority.
    pub authority: PathBuf,
    /// Bearer token of an operator.
    pub token: PathBuf,
}

impl Credentials {
    /// How the lab's clients get in.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            port: documents::PORT,
            database: documents::DATABASE.to_owned(),
            username: documents::OWNER.to_owned(),
            password: self.password.clone(),
            authority: Some(self.authority.clone()),
            way: crate::recorder::Way::Direct,
        }
    }
}

/// Makes `<root>/<server>/{config,state}` for every server, and what its clients are told.
///
/// # Errors
/// When something cannot be made or written; `root` must not hold bundles yet.
pub fn make(options: &LabOptions, agent: &Path, root: &Path) -> Result<Credentials, BundlesError> {
    let password = Secret::random();
    let drafts = root.with_file_name("documents");
    let keys = match options.mesh {
        Mesh::Off => MeshKeys::default(),
        Mesh::On => MeshKeys::make(agent, &root.with_file_name("keys")).map_err(BundlesError::Keys)?,
    };
    write_documents(options, &keys, password.expose(), &drafts).map_err(BundlesError::Documents)?;
    let cluster = cluster(options, password.clone())?;
    make_bundles(&cluster, &drafts, root).map_err(BundlesError::Bundles)?;
    if options.mesh == Mesh::On {
        let placed = options.layout.servers().try_for_each(|(place, _)| keys.place(place, root));
        placed.and_then(|()| keys.place_office(root)).map_err(BundlesError::Keys)?;
    }
    let operator = root.join("operator");
    Ok(Credentials {
        password: password.expose().to_owned(),
        authority: operator.join("ca.pem"),
        token: operator.join("token"),
    })
}

fn cluster(options: &LabOptions, password: Secret) -> Result<Cluster, NameError> {
    let server = |place: Place| {
        Ok(ClusterServer {
            name: ServerName::new(place.name())?,
            site: SiteName::new(place.site())?,
            addresses: vec![place.address().into()],
        })
    };
    Ok(Cluster {
        name: CLUSTER_NAME.to_owned(),
        servers: options
            .layout
            .servers()
            .map(|(place, _)| server(place))
            .collect::<Result<_, NameError>>()?,
        bootstrap: ServerName::new(documents::bootstrap().name())?,
        owner_password: Some(password),
    })
}

fn write_documents(
    options: &LabOptions,
    keys: &MeshKeys,
    password: &str,
    directory: &Path,
) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, document) in documents::all(options, keys, password) {
        fs::write(directory.join(name), serde_json::to_vec_pretty(&document)?)?;
    }
    Ok(())
}
