//! What the two ports of a pair know each other by, made once for both: `storage-port pair keys`.
//!
//! ```text
//! DIR/a/pair.key  port.pem  port.key  ca.pem      for the port `member = "a"`
//! DIR/b/…                                         for the other; pair.key and ca.pem are the same
//! ```
//!
//! The authority's own key is kept nowhere: nobody, not even who has all these files, can make a third port. The
//! certificates do not expire, since a pair that stops mirroring at some midnight would be worse than an old key.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use protocol::pair::{Member, PairName};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::host;
use crate::whole_file;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// No pair is called that.
    #[error("`{0}` cannot be the name of a pair: lower-case letters, digits and hyphens")]
    Name(String),
    /// The files cannot be made.
    #[error("cannot make {path}: {error}; give a directory that does not exist yet")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The library does not make certificates.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Makes the directory `out`, which must not exist, with what both ports of the pair `name` need.
///
/// # Errors
/// Any; what was written until then stays there.
pub fn make(name: &str, out: &Path) -> Result<(), KeysError> {
    let name = PairName::parse(name).ok_or_else(|| KeysError::Name(name.to_owned()))?;
    let (authority, issuer) = authority(name.as_str())?;
    let secret: [u8; 32] = host::random();
    let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect();
    directory(out)?;
    for member in [Member::A, Member::B] {
        let folder = out.join(member.as_str());
        directory(&folder)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new([format!("{}.{name}", member.as_str())])?.signed_by(&key, &issuer)?;
        for (file, content) in [
            ("pair.key", secret.as_str()),
            ("port.key", &key.serialize_pem()),
            ("port.pem", &certificate.pem()),
            ("ca.pem", &authority),
        ] {
            let path = folder.join(file);
            whole_file::replace(&path, content.as_bytes())
                .map_err(|error| KeysError::Write { path, error })?;
        }
    }
    Ok(())
}

/// The authority's certificate, and what signs in its name.
fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), KeysError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, format!("pair {name}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok((certificate, Issuer::new(params, key)))
}

fn directory(path: &Path) -> Result<(), KeysError> {
    let failed = |error| KeysError::Write { path: path.to_owned(), error };
    DirBuilder::new().mode(0o700).create(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroU64;
    use std::os::unix::fs::PermissionsExt;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::{Pair, WhenAlone, read_pair_key};
    use crate::mirror::identity::Identity;

    fn port(member: Member, folder: &Path) -> Pair {
        Pair {
            name: "site-1".to_owned(),
            member,
            key_file: folder.join("pair.key"),
            listen: "127.0.0.1:1".parse().unwrap(),
            peer: "127.0.0.1:2".parse().unwrap(),
            certificate_file: folder.join("port.pem"),
            certificate_key_file: folder.join("port.key"),
            ca_file: folder.join("ca.pem"),
            when_alone: WhenAlone::WriteThrough,
            acknowledge_ms: NonZeroU64::MIN,
        }
    }

    async fn meet(one: &Identity, other: &Identity) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = async { other.accept(listener.accept().await.unwrap().0).await };
        let connect = async { one.connect(TcpStream::connect(address).await.unwrap()).await };
        let (accepted, connected) = tokio::join!(accept, connect);
        accepted.is_ok() && connected.is_ok()
    }

    /// FO-1: what is made for two ports lets them know each other, and nobody else.
    #[tokio::test]
    async fn the_two_ports_know_each_other_by_what_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let identity = |pair: &str, member: Member| {
            Identity::load(&port(member, &folder.path().join(pair).join(member.as_str()))).unwrap()
        };
        make("site-1", &folder.path().join("pair")).unwrap();
        make("site-1", &folder.path().join("stranger")).unwrap();
        assert!(meet(&identity("pair", Member::A), &identity("pair", Member::B)).await);
        assert!(meet(&identity("pair", Member::B), &identity("pair", Member::A)).await);
        assert!(!meet(&identity("pair", Member::A), &identity("stranger", Member::B)).await);
        let keys =
            ["a", "b"].map(|member| read_pair_key(&folder.path().join("pair").join(member).join("pair.key")));
        let [a, b] = keys.map(Result::unwrap);
        assert_eq!(a, b);
    }

    #[test]
    fn nothing_that_is_there_is_replaced_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pair");
        make("site-1", &out).unwrap();
        let key = fs::read(out.join("a/pair.key")).unwrap();
        let error = make("site-1", &out).unwrap_err();
        assert!(error.to_string().ends_with("give a directory that does not exist yet"), "{error}");
        assert_eq!(fs::read(out.join("a/pair.key")).unwrap(), key);
        for file in ["pair.key", "port.key"] {
            let mode = fs::metadata(out.join("b").join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{file}");
        }
        assert!(matches!(make("Site 1", &folder.path().join("other")), Err(KeysError::Name(_))));
        assert!(!folder.path().join("other").exists());
    }
}
