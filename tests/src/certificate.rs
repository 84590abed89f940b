//! Certificates for addresses, as good as a test wants them. Those of an operator's authority are in
//! [`crate::cluster::certificates`].

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A certificate for an address, signed by an authority, in PEM.
pub struct Signed {
    /// The authority's own certificate.
    pub authority: String,
    /// The certificate for the address.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// Signs one that is good from 2020 to the beginning of a year.
pub fn signed(address: &str, until: i32) -> Signed {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut own = CertificateParams::new([address.to_owned()]).unwrap();
    // By the authority's name some would take it for one that signed itself.
    own.distinguished_name.push(DnType::CommonName, address);
    own.not_before = date_time_ymd(2020, 1, 1);
    own.not_after = date_time_ymd(until, 1, 1);
    let certificate = own.signed_by(&key, &issuer).unwrap().pem();
    Signed { authority: authority_pem, certificate, key: key.serialize_pem() }
}
