//! Why a connection failed, and what to do about it, in words. Pure.
//!
//! What went wrong lies deep in a chain of errors of others; the advice is for what a person can mend.

use std::error::Error;
use std::io;

use rustls::CertificateError;

/// The innermost error of a chain, and what it means where that can be told.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut innermost: &(dyn Error + 'static) = error;
    let mut advice = advice(error);
    while let Some(source) = innermost.source() {
        innermost = source;
        advice = advice.or_else(|| self::advice(innermost));
    }
    match advice {
        Some(advice) => format!("{innermost}: {advice}"),
        None => innermost.to_string(),
    }
}

fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    let error = error.downcast_ref::<io::Error>()?;
    // An error that was put into another is not its source.
    let within = error.get_ref().and_then(|within| within.downcast_ref::<rustls::Error>());
    match within {
        Some(error) => of_tls(error),
        None => of_system(error),
    }
}

fn of_tls(error: &rustls::Error) -> Option<&'static str> {
    match error {
        rustls::Error::InvalidCertificate(error) => Some(of_certificate(error)),
        rustls::Error::InvalidMessage(_) => {
            Some("it does not speak TLS there; is it http:// in place of https://?")
        }
        _ => None,
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the storage center's certificate has expired; have it renewed, or set this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the storage center's certificate is not good yet; set this machine's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the storage center's certificate is for another name; ask by a name that stands in it"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the storage center's certificate is not signed by an authority that is trusted here; give its authority's \
             certificate as `ca_file`"
        }
        _ => {
            "the storage center's certificate cannot be trusted; have it made anew, and not marked as an authority"
        }
    }
}

fn of_system(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Some("nobody listens there; is the port right, and does the storage center run?")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("there is no way to it; see to cable, address and router of the WAN")
        }
        // The C library's words for all that may be wrong with a name.
        _ if error.to_string().starts_with("failed to lookup address information") => {
            Some("the name cannot be looked up; is it written right, and does the name server answer?")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PORT-18: what an operator has to mend is told apart.
    #[test]
    fn each_failure_has_its_words() {
        let certificate =
            |error| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error));
        let cases = [
            (io::Error::from(io::ErrorKind::ConnectionRefused), "nobody listens"),
            (io::Error::from(io::ErrorKind::NetworkUnreachable), "no way to it"),
            (
                io::Error::other("failed to lookup address information: Name or service not known"),
                "name server",
            ),
            (certificate(CertificateError::Expired), "expired"),
            (certificate(CertificateError::NotValidYet), "clock"),
            (certificate(CertificateError::NotValidForName), "another name"),
            (certificate(CertificateError::UnknownIssuer), "ca_file"),
        ];
        for (error, words) in cases {
            let told = reason(&error);
            assert!(told.contains(words), "`{told}` lacks `{words}`");
            assert!(told.starts_with(&error.to_string()), "{told}");
        }
        assert_eq!(reason(&io::Error::other("something else")), "something else");
    }
}
