//! Makes a key pair the way `wg genkey | tee private | wg pubkey` does: `cargo run -p sb-wireguard --example key_pair`.

use std::io::Write;

use sb_wireguard::PrivateKey;

fn main() -> std::io::Result<()> {
    let private = PrivateKey::generate();
    let mut out = std::io::stdout();
    writeln!(out, "PrivateKey = {}", private.expose_base64().as_str())?;
    writeln!(out, "PublicKey = {}", private.public_key())
}
