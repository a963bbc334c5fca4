use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{QuickFile, QuickPeer};
use crate::{AllowedIp, PresharedKey, PrivateKey, PublicKey};

/// Longest file that is read, in bytes.
pub const QUICK_BYTES_MAX: usize = 1 << 20;

/// One thing that is wrong in a file; it never repeats a value, which may be a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuickProblem {
    /// Number of the line, from 1; 0 for the whole file.
    pub line: usize,
    /// The fact.
    pub message: String,
    /// The rule applied.
    pub detail: Option<&'static str>,
    /// What to do.
    pub hint: Option<&'static str>,
}

impl fmt::Display for QuickProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: line {}: {}", self.line, self.message)?;
        if let Some(detail) = self.detail {
            write!(f, "\ndetail: {detail}")?;
        }
        if let Some(hint) = self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Section {
    Before,
    Interface,
    /// In one whose key has not come yet, or has.
    Peer,
}

struct Reader {
    file: QuickFile,
    section: Section,
    /// The peer that is being read, where it began, and whether its key has come.
    peer: Option<(usize, QuickPeer, HasKey)>,
    problems: Vec<QuickProblem>,
}

#[derive(Clone, Copy, PartialEq)]
enum HasKey {
    No,
    Yes,
}

impl QuickFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(text: &str) -> Result<Self, Vec<QuickProblem>> {
        if text.len() > QUICK_BYTES_MAX {
            return Err(vec![problem(0, "the file is longer than 1 MiB")]);
        }
        let mut reader =
            Reader { file: Self::default(), section: Section::Before, peer: None, problems: Vec::new() };
        for (at, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if !line.is_empty() {
                reader.line(at + 1, line);
            }
        }
        reader.end_peer();
        if reader.problems.is_empty() { Ok(reader.file) } else { Err(reader.problems) }
    }
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        if line.eq_ignore_ascii_case("[interface]") {
            self.end_peer();
            self.section = Section::Interface;
        } else if line.eq_ignore_ascii_case("[peer]") {
            self.end_peer();
            self.section = Section::Peer;
            self.peer = Some((number, empty_peer(), HasKey::No));
        } else if let Some((key, value)) = line.split_once('=') {
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            let read = match (self.section, &mut self.peer) {
                (Section::Interface, _) => interface_line(&mut self.file, &key, value),
                (Section::Peer, Some((_, peer, has_key))) => peer_line(peer, has_key, &key, value),
                (Section::Before | Section::Peer, _) => Err(Wrong::Key),
            };
            self.problems.extend(read.err().map(|wrong| wrong.at(number)));
        } else {
            self.problems.push(problem(number, "neither a section nor `key = value`"));
        }
    }

    fn end_peer(&mut self) {
        match self.peer.take() {
            Some((line, _, HasKey::No)) => {
                self.problems.push(problem(line, "this peer has no usable `PublicKey`"));
            }
            Some((_, peer, HasKey::Yes)) => self.file.peers.push(peer),
            None => {}
        }
    }
}

/// What is wrong with a line.
enum Wrong {
    Key,
    Value,
    SaveConfig,
}

impl Wrong {
    fn at(self, line: usize) -> QuickProblem {
        match self {
            Self::Key => problem(line, "this key is unknown, or stands in the wrong section"),
            Self::Value => problem(line, "this value is not one of its key"),
            Self::SaveConfig => QuickProblem {
                detail: Some(
                    "wg-quick then writes the running state over the file when the interface goes down: changes \
                     and comments are lost, and names become addresses.",
                ),
                hint: Some("Take the line out, and make changes in the file or in the cluster's documents."),
                ..problem(line, "`SaveConfig` is set")
            },
        }
    }
}

fn problem(line: usize, message: &str) -> QuickProblem {
    QuickProblem { line, message: message.to_owned(), detail: None, hint: None }
}

const fn empty_peer() -> QuickPeer {
    QuickPeer {
        public_key: PublicKey::from_bytes([0; 32]),
        preshared_key: None,
        addresses: Vec::new(),
        endpoint: None,
        keepalive_seconds: 0,
    }
}

fn interface_line(file: &mut QuickFile, key: &str, value: &str) -> Result<(), Wrong> {
    match key {
        "privatekey" => file.private_key = Some(PrivateKey::from_base64(value).map_err(|_| Wrong::Value)?),
        "listenport" => file.listen_port = Some(parsed(value)?),
        "fwmark" => file.firewall_mark = mark(value)?,
        "address" => file.addresses.extend(list(value, own_address)?),
        "dns" => file.dns.extend(list(value, |word| Some(word.to_owned()))?),
        "mtu" => file.mtu = Some(parsed(value)?),
        "table" => file.table = Some(value.to_owned()),
        "preup" => file.pre_up.push(value.to_owned()),
        "postup" => file.post_up.push(value.to_owned()),
        "predown" => file.pre_down.push(value.to_owned()),
        "postdown" => file.post_down.push(value.to_owned()),
        "saveconfig" if value == "false" => {}
        "saveconfig" if value == "true" => return Err(Wrong::SaveConfig),
        "saveconfig" => return Err(Wrong::Value),
        _ => return Err(Wrong::Key),
    }
    Ok(())
}

fn peer_line(peer: &mut QuickPeer, has_key: &mut HasKey, key: &str, value: &str) -> Result<(), Wrong> {
    match key {
        "publickey" => {
            peer.public_key = parsed(value)?;
            *has_key = HasKey::Yes;
        }
        "presharedkey" => {
            peer.preshared_key = PresharedKey::from_base64(value).map_err(|_| Wrong::Value)?;
        }
        "allowedips" => peer.addresses.extend(list(value, range)?),
        "endpoint" => peer.endpoint = Some(parsed(value)?),
        "persistentkeepalive" if value == "off" => peer.keepalive_seconds = 0,
        "persistentkeepalive" => peer.keepalive_seconds = parsed(value)?,
        _ => return Err(Wrong::Key),
    }
    Ok(())
}

fn parsed<T: FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| Wrong::Value)
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Wrong> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| read(word).ok_or(Wrong::Value)).collect()
}

/// `off`, or a number, hexadecimal after `0x`.
fn mark(text: &str) -> Result<u32, Wrong> {
    match text.strip_prefix("0x") {
        _ if text == "off" => Ok(0),
        Some(digits) => u32::from_str_radix(digits, 16).map_err(|_| Wrong::Value),
        None => parsed(text),
    }
}

/// An address with or without the length of a prefix.
fn own_address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(bits), str::parse).ok()?;
    (prefix <= bits).then_some((address, prefix))
}

fn range(text: &str) -> Option<AllowedIp> {
    let (address, prefix) = own_address(text)?;
    AllowedIp::containing(address, prefix).ok()
}
