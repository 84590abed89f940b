//! Signed SRLs as they stand in a URL, and the decision whether to obey one.

use percent_encoding::{
    AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};

use super::certificate::{certificate, check};
use super::{SKEW_SECONDS, Secret, SrlError, SrlRequest, payload};

/// Most bytes of the path's first two parts, percent-encoded at worst.
const PART_BYTES_MAX: usize = 3 * (2 << 10);

/// What may not stand as itself in the customer's part of a path (RFC 3986 §3.3; `/` may).
const URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What may not stand as itself in the encoded request: the standard alphabet's three odd digits may not.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A signed SRL: what stands in the URL between the host and the customer's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedSrl {
    /// base64 of the request.
    pub encoded: String,
    /// Its certificate.
    pub certificate: String,
}

impl SrlRequest {
    /// The encoded request: URL-safe base64 without padding.
    pub fn encode(&self) -> String {
        payload::encode(self)
    }

    /// The request and its certificate by the given version.
    pub fn sign(&self, secret: &Secret) -> SignedSrl {
        SignedSrl::new(self, payload::encode(self), secret)
    }

    /// The same as a CDN SRL that fetches a file by the customer's own id for it (SRL-15); kind and operation of
    /// `self` do not count. [`SignedSrl::request`] gives the id back as a [`ClientFile`].
    ///
    /// [`ClientFile`]: crate::id::ClientFile
    pub fn sign_cdn_fetch(&self, unique_file_id: &str, secret: &Secret) -> SignedSrl {
        SignedSrl::new(self, payload::encode_cdn_fetch(self, unique_file_id), secret)
    }
}

impl SignedSrl {
    fn new(request: &SrlRequest, encoded: String, secret: &Secret) -> Self {
        let certificate = certificate(request.version, secret.as_bytes(), encoded.as_bytes());
        Self { encoded, certificate }
    }

    /// Splits the path of a URL, `/<encoded-request>/<certificate>/<customer-uri>`, into the SRL and the customer's
    /// part, which stays percent-encoded and may be empty.
    ///
    /// # Errors
    /// [`SrlError::Malformed`].
    pub fn parse(path: &str) -> Result<(Self, &str), SrlError> {
        let path = path.strip_prefix('/').ok_or(SrlError::Malformed("the path does not begin with `/`"))?;
        let mut parts = path.splitn(3, '/');
        let encoded = parts.next().unwrap_or_default();
        let certificate = parts.next().unwrap_or_default();
        if encoded.is_empty() || certificate.is_empty() {
            return Err(SrlError::Malformed("an encoded request and a certificate are wanted"));
        }
        if encoded.len() > PART_BYTES_MAX || certificate.len() > PART_BYTES_MAX {
            return Err(SrlError::Malformed("the encoded request or the certificate is too long"));
        }
        let encoded = percent_decode_str(encoded).decode_utf8();
        let encoded = encoded.map_err(|_| SrlError::Malformed("the encoded request is no text"))?;
        let srl = Self { encoded: encoded.into_owned(), certificate: certificate.to_owned() };
        Ok((srl, parts.next().unwrap_or_default()))
    }

    /// The path of a URL: the inverse of [`Self::parse`], with the customer's part given as plain bytes.
    pub fn path(&self, customer_uri: &[u8]) -> String {
        let encoded = utf8_percent_encode(&self.encoded, ENCODED);
        format!("/{encoded}/{}/{}", self.certificate, percent_encode(customer_uri, URI))
    }

    /// What is asked for, by whoever wrote it: good for finding the client's secrets and nothing else.
    ///
    /// # Errors
    /// [`SrlError::Malformed`].
    pub fn request(&self) -> Result<SrlRequest, SrlError> {
        payload::decode(&self.encoded)
    }

    /// What may be done. `secrets` are the live secrets of the client that [`Self::request`] names; none for a
    /// client that does not exist. The certificate is compared first, in constant time: a stranger learns nothing
    /// else.
    ///
    /// # Errors
    /// Each [`SrlError`].
    pub fn authenticate(&self, secrets: &[Secret], now_seconds: u64) -> Result<SrlRequest, SrlError> {
        let request = self.request()?;
        check(request.version, secrets, self.encoded.as_bytes(), &self.certificate)?;
        if request.expires != 0 && request.expires.saturating_add(SKEW_SECONDS) < now_seconds {
            return Err(SrlError::Expired);
        }
        if !request.access.may(&request.operation) {
            return Err(SrlError::NotAllowed);
        }
        Ok(request)
    }
}
