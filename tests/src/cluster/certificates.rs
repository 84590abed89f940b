//! Certificates as an operator of storage centers makes them: with `openssl`, signed by an authority of his own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::run_ok;

/// An authority, whose files are in a folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// An authority with a key of its own.
    pub fn new(folder: &Path, name: &str) -> Self {
        let authority = Self { folder: folder.to_owned(), name: name.to_owned() };
        let Certificate { certificate, key } = authority.files(name);
        let subject = format!("/CN={name}");
        let options = ["-x509", "-days", "2", "-subj", &subject, "-out", certificate.to_str().unwrap()];
        openssl("req", &[&new_key(&key)[..], &options].concat());
        authority
    }

    /// Its certificate, by which those are known that it signed.
    pub fn certificate(&self) -> PathBuf {
        self.files(&self.name).certificate
    }

    /// Signs a certificate for a new key and this DNS name.
    pub fn issue(&self, name: &str) -> Certificate {
        let issued = self.files(name);
        let (request, extensions) = (issued.key.with_extension("csr"), issued.key.with_extension("ext"));
        let subject = format!("/CN={name}");
        let options = ["-subj", &subject, "-out", request.to_str().unwrap()];
        openssl("req", &[&new_key(&issued.key)[..], &options].concat());
        fs::write(
            &extensions,
            format!("subjectAltName = DNS:{name}\nbasicConstraints = critical, CA:FALSE\n"),
        )
        .unwrap();
        let Certificate { certificate, key } = self.files(&self.name);
        let paths = [&request, &extensions, &certificate, &key, &issued.certificate];
        let [request, extensions, signer, signer_key, out] = paths.map(|path| path.to_str().unwrap());
        let signing = ["-req", "-in", request, "-CA", signer, "-CAkey", signer_key, "-CAcreateserial"];
        openssl("x509", &[&signing[..], &["-extfile", extensions, "-days", "2", "-out", out]].concat());
        issued
    }

    fn files(&self, name: &str) -> Certificate {
        let stem = self.folder.join(format!("{}-{name}", self.name));
        Certificate { certificate: stem.with_extension("pem"), key: stem.with_extension("key") }
    }
}

fn new_key(file: &Path) -> [&str; 7] {
    let file = file.to_str().unwrap();
    ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file]
}

fn openssl(command: &str, options: &[&str]) {
    run_ok("openssl", &[&[command], options].concat());
}
