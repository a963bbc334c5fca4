//! The keys of the lab's mesh, each made where an operator would make it, and the office's way in.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::documents;
use crate::place::Place;
use crate::unit::Program;

/// The agent's name of the file with a private key.
const KEY_FILE: &str = ".wireguard_private";

/// The port that every server listens on, WireGuard's usual one.
const PORT: u16 = 51820;

/// Name of the office's configuration, and so of its interface.
const OFFICE_FILE: &str = "office.conf";

/// Public keys by [`Place::index`], and where the private ones lie; empty when there is no mesh.
#[derive(Debug, Default)]
pub(super) struct MeshKeys {
    directory: PathBuf,
    public: Vec<String>,
}

impl MeshKeys {
    /// Has the agent's program make a key for every place.
    pub(super) fn make(agent: &Path, directory: &Path) -> io::Result<Self> {
        let key = |place: Place| {
            let home = directory.join(place.name());
            fs::create_dir_all(&home)?;
            let output = Command::new(agent).arg("mesh-key").arg("--config-dir").arg(&home).output()?;
            if !output.status.success() {
                return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let public = Place::all().map(key).collect::<io::Result<_>>()?;
        Ok(Self { directory: directory.to_owned(), public })
    }

    /// The public key of a place, when there is a mesh.
    pub(super) fn of(&self, place: Place) -> Option<&str> {
        self.public.get(place.index()).map(String::as_str)
    }

    /// Gives a server its own key and its own part in the mesh.
    pub(super) fn place(&self, place: Place, root: &Path) -> io::Result<()> {
        let config = root.join(place.name()).join("config");
        fs::rename(self.private_file(place), config.join(KEY_FILE))?;
        let network = serde_json::to_vec_pretty(&documents::network(place, self))?;
        private_file(&config.join(documents::NETWORK), &network)
    }

    /// Writes what a person at a laptop would be given, with that person's own key.
    pub(super) fn place_office(&self, root: &Path) -> io::Result<()> {
        let key = fs::read_to_string(self.private_file(Place::OFFICE))?;
        let mut text =
            format!("[Interface]\nPrivateKey = {}\nAddress = {}/32\n", key.trim(), Place::OFFICE.address());
        for server in Place::servers() {
            text += &format!(
                "\n[Peer]\nPublicKey = {}\nEndpoint = {}:{PORT}\nAllowedIPs = {}/32\nPersistentKeepalive = 25\n",
                self.public[server.index()],
                server.public_address(),
                server.address(),
            );
        }
        private_file(&root.join("operator").join(OFFICE_FILE), text.as_bytes())
    }

    fn private_file(&self, place: Place) -> PathBuf {
        self.directory.join(place.name()).join(KEY_FILE)
    }
}

/// The program that brings the office into the mesh.
pub(crate) fn tunnel(agent: &Path, root: &Path, log: PathBuf) -> Program {
    let file = root.join("operator").join(OFFICE_FILE);
    Program {
        name: "tunnel".to_owned(),
        path: agent.to_owned(),
        arguments: vec!["tunnel".to_owned(), file.display().to_string()],
        environment: Vec::new(),
        log,
        brake: None,
    }
}

fn private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(content)
}
