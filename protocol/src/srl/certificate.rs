//! Secrets and what is computed with them: certificates (SRL-13, SRL-16) and control tickets (SRL-12).

use std::fmt;

use hmac::{Hmac, Mac};
use md5::{Digest as _, Md5};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use super::{SrlError, SrlOperation, SrlRequest, SrlVersion};

/// Fewest bytes of a secret (SRL-14).
const SECRET_BYTES_MIN: usize = 16;

/// What stands in for the secret of a client that does not exist, so that an answer takes the same time.
const NOBODY: &[u8] = &[0; 32];

/// A shared secret: at least 16 bytes. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// A secret of fewer than 16 bytes is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a secret has at least {SECRET_BYTES_MIN} bytes")]
pub struct SecretTooShort;

impl Secret {
    /// Exactly these bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SecretTooShort> {
        if bytes.len() < SECRET_BYTES_MIN { Err(SecretTooShort) } else { Ok(Self(bytes)) }
    }

    /// The content of a secret file, without white space around it: editors like to end files with a new line.
    pub fn from_file_content(content: &[u8]) -> Result<Self, SecretTooShort> {
        Self::new(content.trim_ascii().to_vec())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The certificate of a request document: what an SRL of op code CONTROL carries as its ticket (SRL-12).
pub fn control_ticket(version: SrlVersion, secret: &Secret, document: &[u8]) -> String {
    certificate(version, secret.as_bytes(), document)
}

/// Checks that the ticket of an authenticated SRL is that of the document it came with, in constant time.
///
/// # Errors
/// [`SrlError::NotAllowed`] if the SRL is not for CONTROL, [`SrlError::NotAuthentic`] if the document is another.
pub fn check_control_ticket(
    request: &SrlRequest,
    secrets: &[Secret],
    document: &[u8],
) -> Result<(), SrlError> {
    match &request.operation {
        SrlOperation::Control { ticket } => check(request.version, secrets, document, ticket),
        _ => Err(SrlError::NotAllowed),
    }
}

/// Compares with the certificates of all live secrets: two while a secret is being replaced, else one.
pub(super) fn check(
    version: SrlVersion,
    secrets: &[Secret],
    message: &[u8],
    given: &str,
) -> Result<(), SrlError> {
    let same = |secret| certificate(version, secret, message).as_bytes().ct_eq(given.as_bytes());
    let known = secrets.iter().fold(Choice::from(0), |found, secret| found | same(secret.as_bytes()));
    if secrets.is_empty() {
        std::hint::black_box(same(NOBODY));
    }
    if known.into() { Ok(()) } else { Err(SrlError::NotAuthentic) }
}

/// Version 1: `md5(secret + md5(secret + message))`, the inner digest as 32 lowercase hex digits. Version 2:
/// HMAC-SHA-256. Both as lowercase hex.
pub(super) fn certificate(version: SrlVersion, secret: &[u8], message: &[u8]) -> String {
    match version {
        SrlVersion::Md5 => {
            let digest =
                |message: &[u8]| hex(&Md5::new().chain_update(secret).chain_update(message).finalize());
            digest(digest(message).as_bytes())
        }
        SrlVersion::HmacSha256 => {
            // An HMAC takes a key of any length: the error cannot happen, and would give a certificate of nothing.
            let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
            hex(&mac.chain_update(message).finalize().into_bytes())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
