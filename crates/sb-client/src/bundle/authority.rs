use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo};
use rand::RngCore as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use crate::bundle::{BundleError, ClusterServer, Passphrase};

/// How long certificates are valid, in years. Long, because nobody is on call at the sites: an expired certificate
/// would stop a healthy cluster.
pub const CERTIFICATE_YEARS: i16 = 10;

/// Clocks of servers may be behind; certificates are valid from this many days before they were made.
const BACKDATED_DAYS: i64 = 2;

/// scrypt with N = 2^14, r = 8, p = 1 (RFC 7914): 16 MiB, the most that `openssl pkey` reads without options.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;

/// The cluster's authority, while `init` runs.
pub(super) struct ClusterAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A server's certificate and key, both as PEM.
pub(super) struct Certified {
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl ClusterAuthority {
    pub(super) fn new(cluster: &str) -> Result<Self, BundleError> {
        let mut params = dated();
        params.distinguished_name = common_name(&format!("{cluster} authority"));
        // No intermediate authorities: whoever has a server's key cannot make servers.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub(super) fn certificate_pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate whose only DNS name is the server's name, for both directions of a connection.
    pub(super) fn certify(&self, server: &ClusterServer) -> Result<Certified, BundleError> {
        let mut params = dated();
        params.distinguished_name = common_name(server.name.as_str());
        params.subject_alt_names = vec![SanType::DnsName(server.name.as_str().try_into()?)];
        params.subject_alt_names.extend(server.addresses.iter().copied().map(SanType::IpAddress));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Certified { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// The private key as encrypted PKCS#8 (RFC 5958, RFC 8018), readable by `openssl pkey`.
    pub(super) fn encrypted_key_pem(&self, passphrase: &Passphrase) -> Result<String, BundleError> {
        let plain = Zeroizing::new(self.issuer.key().serialize_der());
        let info = PrivateKeyInfo::try_from(plain.as_slice()).map_err(BundleError::Encrypt)?;
        let (mut salt, mut iv) = ([0u8; 16], [0u8; 16]);
        rand::rng().fill_bytes(&mut salt);
        rand::rng().fill_bytes(&mut iv);
        let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, 32)
            .expect("the named cost is within scrypt's limits");
        let parameters = pbes2::Parameters::scrypt_aes256cbc(cost, &salt, &iv)
            .map_err(|error| BundleError::Encrypt(error.into()))?;
        let document =
            info.encrypt_with_params(parameters, passphrase.bytes()).map_err(BundleError::Encrypt)?;
        let pem = document
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|error| BundleError::Encrypt(error.into()))?;
        Ok(pem.to_string())
    }
}

/// Decrypts `ca.key.enc` into PKCS#8 DER.
///
/// # Errors
/// When it is no encrypted key, or the passphrase is another one.
pub fn decrypt_authority_key(pem: &str, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, BundleError> {
    let (_, document) = pkcs8::SecretDocument::from_pem(pem).map_err(|_| BundleError::Decrypt)?;
    let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| BundleError::Decrypt)?;
    let plain = info.decrypt(passphrase.bytes()).map_err(|_| BundleError::Decrypt)?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

fn dated() -> CertificateParams {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let from = today.saturating_sub(jiff::Span::new().days(BACKDATED_DAYS));
    let day = |date: jiff::civil::Date| {
        // The 29th of February has no anniversary; the 28th of any month always exists.
        rcgen::date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().min(28).unsigned_abs(),
        )
    };
    let mut params = CertificateParams::default();
    params.not_before = day(from);
    params.not_after = day(today.saturating_add(jiff::Span::new().years(CERTIFICATE_YEARS)));
    params
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}
