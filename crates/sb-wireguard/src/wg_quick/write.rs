use std::fmt::{Display, Write};
use std::io;
use std::path::{Path, PathBuf};

use sb_topology::write::replace_file;
use zeroize::Zeroizing;

use super::{QuickFile, QuickPeer};

/// Mode of every file written here: its owner's alone.
const MODE: u32 = 0o600;
const HEADER: &str =
    concat!("# Made by Show-Build Redundancy ", env!("CARGO_PKG_VERSION"), " from the cluster's documents.");
const SUM: &str = "# Sum of what follows: ";

/// Where the secrets of a file are kept beside it.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// The interface's own key.
    pub private_key: PathBuf,
    /// The directory of preshared keys, each under the public key of its peer in hexadecimal digits.
    pub preshared_keys: PathBuf,
}

/// A file with one secret.
#[derive(Debug)]
pub struct SecretFile {
    /// Where.
    pub path: PathBuf,
    /// The key in base64.
    text: Zeroizing<String>,
}

/// A file that cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It holds a secret.
    #[error("a private or preshared key stands in it")]
    Secret,
    /// A value would become something else when it is read.
    #[error("a value of `{key}` has a `#`, a `,` or an end of line in it, or nothing")]
    Value {
        /// Of which key.
        key: &'static str,
    },
    /// wg-quick hands the path to a shell.
    #[error("the path {} is not absolute, or has other characters than letters, digits and `/._-`", .0.display())]
    Path(PathBuf),
}

/// A file that could not be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// It cannot be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The file system says no.
    #[error("could not write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl QuickFile {
    /// Takes the secrets out and has wg-quick load each from a file of its own; what those files hold is handed back.
    ///
    /// # Errors
    /// When a path is not safe in a shell's command. Nothing is taken then.
    pub fn take_secrets(&mut self, files: &KeyFiles) -> Result<Vec<SecretFile>, RenderError> {
        let private_path = shell_safe(&files.private_key)?;
        let directory = shell_safe(&files.preshared_keys)?;
        let mut secrets = Vec::new();
        if let Some(key) = self.private_key.take() {
            self.post_up.push(format!("wg set %i private-key {private_path}"));
            secrets.push(SecretFile { path: files.private_key.clone(), text: key.expose_base64() });
        }
        for peer in &mut self.peers {
            let Some(key) = peer.preshared_key.take() else { continue };
            let name = peer.public_key.to_hex();
            self.post_up.push(format!("wg set %i peer {} preshared-key {directory}/{name}", peer.public_key));
            secrets.push(SecretFile { path: files.preshared_keys.join(name), text: key.expose_base64() });
        }
        Ok(secrets)
    }

    /// The text, with the lines that say what made it.
    ///
    /// # Errors
    /// When it still holds a secret, or a value that would not read back.
    pub fn render(&self) -> Result<String, RenderError> {
        if self.private_key.is_some() || self.peers.iter().any(|peer| peer.preshared_key.is_some()) {
            return Err(RenderError::Secret);
        }
        let mut body = String::from("[Interface]\n");
        self.render_interface(&mut body)?;
        self.peers.iter().for_each(|peer| render_peer(&mut body, peer));
        Ok(format!("{HEADER}\n{SUM}{:016x}\n{body}", sum(&body)))
    }

    fn render_interface(&self, body: &mut String) -> Result<(), RenderError> {
        if let Some(port) = self.listen_port {
            put(body, "ListenPort", port);
        }
        if self.firewall_mark != 0 {
            put(body, "FwMark", format_args!("0x{:x}", self.firewall_mark));
        }
        for (address, prefix) in &self.addresses {
            put(body, "Address", format_args!("{address}/{prefix}"));
        }
        put_all(body, "DNS", &self.dns, &['#', ',', '\n', '\r'])?;
        if let Some(mtu) = self.mtu {
            put(body, "MTU", mtu);
        }
        let line = ['#', '\n', '\r'];
        put_all(body, "Table", self.table.as_slice(), &line)?;
        put_all(body, "PreUp", &self.pre_up, &line)?;
        put_all(body, "PostUp", &self.post_up, &line)?;
        put_all(body, "PreDown", &self.pre_down, &line)?;
        put_all(body, "PostDown", &self.post_down, &line)
    }

    /// Writes the secrets, then the file, each whole or not at all and for its owner alone.
    ///
    /// # Errors
    /// When it cannot be rendered, and then nothing is written; or what the file system says.
    pub fn install(&self, path: &Path, secrets: &[SecretFile]) -> Result<(), InstallError> {
        let text = self.render()?;
        for secret in secrets {
            replace(&secret.path, format!("{}\n", secret.text.as_str()).as_bytes())?;
        }
        replace(path, text.as_bytes())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), InstallError> {
    replace_file(path, bytes, MODE).map_err(|source| InstallError::Write { path: path.to_owned(), source })
}

/// Whether a file is as [`QuickFile::render`] made it: not edited since.
#[must_use]
pub fn is_as_written(text: &str) -> bool {
    let body =
        text.split_once('\n').and_then(|(_, rest)| rest.strip_prefix(SUM)).and_then(|it| it.split_once('\n'));
    body.is_some_and(|(told, body)| told == format!("{:016x}", sum(body)))
}

/// FNV-1a of 64 bits: it tells an edit, and is no seal.
fn sum(text: &str) -> u64 {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

fn render_peer(body: &mut String, peer: &QuickPeer) {
    body.push_str("\n[Peer]\n");
    put(body, "PublicKey", peer.public_key);
    if !peer.addresses.is_empty() {
        let ranges: Vec<_> = peer.addresses.iter().map(ToString::to_string).collect();
        put(body, "AllowedIPs", ranges.join(", "));
    }
    if let Some(endpoint) = &peer.endpoint {
        put(body, "Endpoint", endpoint);
    }
    if peer.keepalive_seconds != 0 {
        put(body, "PersistentKeepalive", peer.keepalive_seconds);
    }
}

fn put(body: &mut String, key: &str, value: impl Display) {
    writeln!(body, "{key} = {value}").expect("a string takes every text");
}

fn put_all(
    body: &mut String,
    key: &'static str,
    values: &[String],
    unfit: &[char],
) -> Result<(), RenderError> {
    for value in values {
        if value.contains(unfit) || value.is_empty() || value.trim() != value {
            return Err(RenderError::Value { key });
        }
        put(body, key, value);
    }
    Ok(())
}

fn shell_safe(path: &Path) -> Result<&str, RenderError> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let text = path.to_str().filter(|text| text.starts_with('/') && text.bytes().all(good));
    text.ok_or_else(|| RenderError::Path(path.to_owned()))
}
