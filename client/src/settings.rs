//! What a [`crate::Center`] is made of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use http::uri::{Authority, Scheme};
use protocol::id::CustomerId;
use protocol::srl::Secret;
use thiserror::Error;

/// How long one endpoint has for accepting a connection, unless somebody says otherwise.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the center is and who asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory managers, `http://host:port` or `https://…`; the first is tried first.
    pub ddm: Vec<String>,
    /// Object managers, likewise.
    pub dosm: Vec<String>,
    /// On whose behalf.
    pub customer: CustomerId,
    /// The customer's secret.
    pub secret: Secret,
    /// How long a call goes on trying, and how long a transfer may make no progress.
    pub deadline: Duration,
    /// How long one endpoint has for accepting a connection.
    pub connect_timeout: Duration,
    /// Authorities in PEM by which HTTPS endpoints are known, instead of the public ones.
    pub ca_certificates: Option<Vec<u8>>,
    /// Seconds since the epoch, for the expiry of SRLs.
    pub now: fn() -> u64,
}

/// Settings that cannot work. The texts name the key and the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// An empty list of endpoints.
    #[error("`{0}` names no endpoint: give at least one, such as http://center.example:8080")]
    NoEndpoint(&'static str),
    /// Not of the form `http://host:port`.
    #[error("`{key}`: {url:?} is not of the form http://host:port or https://host:port")]
    BadEndpoint {
        /// `ddm` or `dosm`.
        key: &'static str,
        /// What was given.
        url: String,
    },
    /// No certificates in the PEM text.
    #[error("`ca_certificate`: {0}; give a PEM file with the certificate of the authority")]
    BadCertificates(String),
}

impl Settings {
    /// With the default times and clock, and the public certificate authorities.
    ///
    /// ```
    /// use client::Settings;
    /// use protocol::{id::CustomerId, srl::Secret};
    ///
    /// let urls = vec!["http://center.example:8080".to_owned()];
    /// let secret = Secret::new(b"0123456789abcdef".to_vec())?;
    /// let mut settings = Settings::new(urls.clone(), urls, CustomerId(1), secret);
    /// settings.deadline = std::time::Duration::from_secs(60);
    /// # Ok::<(), protocol::srl::SecretTooShort>(())
    /// ```
    pub fn new(ddm: Vec<String>, dosm: Vec<String>, customer: CustomerId, secret: Secret) -> Self {
        Self {
            ddm,
            dosm,
            customer,
            secret,
            deadline: Duration::from_secs(10),
            connect_timeout: CONNECT_TIMEOUT,
            ca_certificates: None,
            now: system_seconds,
        }
    }
}

/// The wall clock: the only place that reads it.
#[allow(clippy::disallowed_methods, reason = "the default of an injected clock")]
fn system_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// One front door of the center.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

impl Endpoint {
    pub(crate) fn parse_all(key: &'static str, urls: &[String]) -> Result<Vec<Self>, SettingsError> {
        if urls.is_empty() {
            return Err(SettingsError::NoEndpoint(key));
        }
        let parse =
            |url: &String| Self::parse(url).ok_or(SettingsError::BadEndpoint { key, url: url.clone() });
        urls.iter().map(parse).collect()
    }

    fn parse(url: &str) -> Option<Self> {
        Self::split(url).filter(|(_, path)| path == "/").map(|(endpoint, _)| endpoint)
    }

    /// The endpoint of a URL, and its path.
    pub(crate) fn split(url: &str) -> Option<(Self, String)> {
        let parts = url.parse::<Uri>().ok()?.into_parts();
        let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS)?;
        let authority = parts.authority.filter(|authority| !authority.as_str().contains('@'))?;
        Some((Self { scheme, authority }, path.to_owned()))
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_scheme_and_host_alone() {
        for good in ["http://center.example", "https://10.0.0.1:8443/", "http://[::1]:80"] {
            let endpoint = Endpoint::parse(good).unwrap();
            assert_eq!(endpoint.to_string(), good.trim_end_matches('/'));
        }
        for bad in
            ["", "center", "center:80", "ftp://center", "http://", "http://a/b", "http://u:p@a", "http://a?x"]
        {
            assert!(Endpoint::parse(bad).is_none(), "{bad}");
        }
        assert!(matches!(Endpoint::parse_all("ddm", &[]), Err(SettingsError::NoEndpoint("ddm"))));
    }
}
