use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const KEY_BYTES: usize = 32;
const MARK_BYTES: usize = 8;
/// What is hashed in front of a preshared key, so that its mark is of use for nothing else.
const MARK_OF: &[u8] = b"show-build preshared key";

/// The text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes of base64.
    #[error("not a WireGuard key: 32 bytes are 43 characters of base64 and a `=`")]
    Base64,
    /// Not as many bytes of hexadecimal digits: 32 of a key, 8 of a mark.
    #[error("not a WireGuard key: 32 bytes are 64 hexadecimal digits")]
    Hex,
}

/// A server's name to its peers: a point of Curve25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

/// What a server proves to be itself with. Not shown and not compared; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey([u8; KEY_BYTES]);

/// A second secret that two peers share, against an attacker who can one day compute private keys. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; KEY_BYTES]);

/// By what two ends tell each other which preshared key they hold: a part of its hash. It may be shown, since nothing can be
/// guessed of 32 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresharedMark([u8; MARK_BYTES]);

impl PublicKey {
    /// A key of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Reads 64 hexadecimal digits, as in WireGuard's configuration protocol.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Ok(Self(*bytes_of_hex(text)?))
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex_of_bytes(&self.0)
    }
}

impl PrivateKey {
    /// A new key from the system's source of randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_bytes(*random_bytes())
    }

    /// A key of these bytes, clamped as X25519 asks (RFC 7748, section 5), so that the same key reads the same everywhere.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; KEY_BYTES]) -> Self {
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        let key = Self(bytes);
        bytes.zeroize();
        key
    }

    /// Reads the 44 characters of base64 that `wg genkey` writes; spaces around them do not count.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(*bytes_of_base64(text)?))
    }

    /// Reads 64 hexadecimal digits, as in WireGuard's configuration protocol.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Ok(Self::from_bytes(*bytes_of_hex(text)?))
    }

    /// Its public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let secret = x25519_dalek::StaticSecret::from(self.0);
        PublicKey(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }
}

impl PresharedKey {
    /// A new key from the system's source of randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(*random_bytes())
    }

    /// By what others may speak of it.
    #[must_use]
    pub fn mark(&self) -> PresharedMark {
        let hash = Sha256::new().chain_update(MARK_OF).chain_update(self.0).finalize();
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&hash[..MARK_BYTES]);
        PresharedMark(mark)
    }

    /// A key of these bytes; 32 zeros stand for none in WireGuard's protocols.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Option<Self> {
        (bytes != [0; KEY_BYTES]).then_some(Self(bytes))
    }

    /// Reads base64; [`None`] for 32 zeros.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn from_base64(text: &str) -> Result<Option<Self>, KeyError> {
        Ok(Self::from_bytes(*bytes_of_base64(text)?))
    }

    /// Reads 64 hexadecimal digits; [`None`] for 32 zeros.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn from_hex(text: &str) -> Result<Option<Self>, KeyError> {
        Ok(Self::from_bytes(*bytes_of_hex(text)?))
    }
}

/// The ways out of a secret; each says in its name that it is one.
macro_rules! exposed {
    ($key:ty) => {
        impl $key {
            /// The secret bytes, for a key exchange.
            #[must_use]
            pub const fn expose_bytes(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }

            /// The secret as base64, for a file that only its owner reads.
            #[must_use]
            pub fn expose_base64(&self) -> Zeroizing<String> {
                Zeroizing::new(STANDARD.encode(self.0))
            }

            /// The secret as hexadecimal digits, for an answer to who may know it.
            #[must_use]
            pub fn expose_hex(&self) -> Zeroizing<String> {
                Zeroizing::new(hex_of_bytes(&self.0))
            }
        }
    };
}

exposed!(PrivateKey);
exposed!(PresharedKey);

impl FromStr for PresharedMark {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(*bytes_of_hex(text)?))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(*bytes_of_base64(text)?))
    }
}

impl From<&sb_topology::PublicKey> for PublicKey {
    fn from(key: &sb_topology::PublicKey) -> Self {
        key.as_str().parse().expect("the document's reader took nothing but canonical base64 of 32 bytes")
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for PresharedMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex_of_bytes(&self.0))
    }
}

impl fmt::Debug for PresharedMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public_key())
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(hidden)")
    }
}

fn random_bytes() -> Zeroizing<[u8; KEY_BYTES]> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rand::rng().fill_bytes(bytes.as_mut());
    bytes
}

fn bytes_of_base64(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Base64)?);
    Ok(Zeroizing::new(decoded.as_slice().try_into().map_err(|_| KeyError::Base64)?))
}

fn bytes_of_hex<const BYTES: usize>(text: &str) -> Result<Zeroizing<[u8; BYTES]>, KeyError> {
    let digits = text.as_bytes();
    if digits.len() != 2 * BYTES {
        return Err(KeyError::Hex);
    }
    let nibble =
        |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok()).ok_or(KeyError::Hex);
    let mut bytes = Zeroizing::new([0; BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(bytes)
}

fn hex_of_bytes(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_what_the_curve_says() {
        let one = PrivateKey::from_base64("yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=").unwrap();
        assert_eq!(one.public_key().to_string(), "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw=");
    }

    #[test]
    fn keys_read_back_as_written_in_both_notations() {
        let key = PrivateKey::generate();
        let read = PrivateKey::from_hex(&key.expose_hex()).unwrap();
        assert_eq!(read.expose_bytes(), key.expose_bytes());
        let read = PrivateKey::from_base64(&key.expose_base64()).unwrap();
        assert_eq!(read.expose_bytes(), key.expose_bytes());
        let public = key.public_key();
        assert_eq!(public.to_string().parse(), Ok(public));
        assert_eq!(PublicKey::from_hex(&public.to_hex()), Ok(public));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "dummy", &"é".repeat(32), &"0".repeat(63), &"g".repeat(64)] {
            assert_eq!(PublicKey::from_hex(text), Err(KeyError::Hex), "{text}");
            assert_eq!(text.parse::<PublicKey>(), Err(KeyError::Base64), "{text}");
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let private = PrivateKey::generate();
        assert!(!format!("{private:?}").contains(private.expose_base64().as_str()));
        let preshared = PresharedKey::generate();
        assert!(!format!("{preshared:?}").contains(preshared.expose_base64().as_str()));
    }

    #[test]
    fn a_mark_tells_keys_apart_and_shows_nothing_of_them() {
        let [one, other] = [PresharedKey::generate(), PresharedKey::generate()];
        assert_eq!(one.mark(), one.clone().mark());
        assert_ne!(one.mark(), other.mark());
        assert_eq!(one.mark().to_string().parse(), Ok(one.mark()));
        assert!(!one.expose_hex().contains(&one.mark().to_string()));
    }

    #[test]
    fn zeros_are_no_preshared_key() {
        assert_eq!(PresharedKey::from_hex(&"0".repeat(64)), Ok(None));
    }
}
