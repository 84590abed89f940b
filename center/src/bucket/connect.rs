//! A client of an S3 server, from the configuration and the file of credentials.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use rustls::crypto::ring;
use thiserror::Error;

use super::store::Store;
use crate::config::S3;

/// Longest time to a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest time of one try of one request: a part of 8 MiB needs some time on a slow line.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// How often, and for how long, a request is tried again that failed in passing.
const RETRIES_MAX: usize = 3;
const RETRY_MAX: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file of credentials.
    #[error("isn.s3.credentials_file {path}: {reason}")]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and how to mend it.
        reason: String,
    },
    /// Something else in `[isn] s3`.
    #[error("isn.s3: {0}")]
    Client(String),
}

/// A key of the store, and its secret. Never shown.
#[derive(PartialEq, Eq)]
struct Credentials {
    key: String,
    secret: String,
}

/// Makes a client; asks the store nothing yet.
pub fn connect(s3: &S3) -> Result<Store, ConnectError> {
    // The client takes the process's cryptography; that it was set before is as well.
    let _ = ring::default_provider().install_default();
    let Credentials { key, secret } = read_credentials(&s3.credentials_file)?;
    let client = ClientOptions::new()
        .with_allow_http(s3.endpoint.starts_with("http://"))
        .with_connect_timeout(CONNECT_MAX)
        .with_timeout(REQUEST_MAX);
    let retry = RetryConfig {
        backoff: BackoffConfig { init_backoff: PAUSE_FIRST, max_backoff: PAUSE_LONGEST, base: 2.0 },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_MAX,
    };
    let built = AmazonS3Builder::new()
        .with_endpoint(&s3.endpoint)
        .with_region(&s3.region)
        .with_bucket_name(&s3.bucket)
        .with_access_key_id(key)
        .with_secret_access_key(secret)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Each request for itself: some servers do not know the bulk one.
        .with_disable_bulk_delete(true)
        .with_client_options(client)
        .with_retry(retry)
        .build();
    let backend = built.map_err(|error| ConnectError::Client(error.to_string()))?;
    Ok(Store::new(Arc::new(backend), &s3.prefix, &s3.to_string()))
}

fn read_credentials(path: &Path) -> Result<Credentials, ConnectError> {
    let wrong = |reason: String| ConnectError::Credentials { path: path.to_path_buf(), reason };
    let mode = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others may read it (mode {:o}); chmod 600", mode & 0o777)));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let form = "it must hold the lines aws_access_key_id = … and aws_secret_access_key = …";
    parse_credentials(&text).ok_or_else(|| wrong(form.to_string()))
}

/// The form of the AWS tools, with one profile.
fn parse_credentials(text: &str) -> Option<Credentials> {
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        let value = pairs.find(|(key, _)| key.trim() == name)?.1.trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    Some(Credentials { key: value("aws_access_key_id")?, secret: value("aws_secret_access_key")? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// ISN-13: credentials come from a file that nobody else may read, and no error shows them.
    #[test]
    fn credentials_are_read_from_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let read = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read_credentials(&path).map_err(|error| error.to_string())
        };
        let good = "[default]\naws_access_key_id = KEY\naws_secret_access_key=se=cret\n";
        let expected = Credentials { key: "KEY".to_owned(), secret: "se=cret".to_owned() };
        assert!(read(good, 0o600) == Ok(expected));
        assert!(read(good, 0o640).is_err_and(|said| said.contains("chmod 600") && !said.contains("cret")));
        let said = read("aws_access_key_id = KEY\nse=cret\n", 0o600).err().unwrap();
        assert!(said.contains("aws_secret_access_key") && !said.contains("KEY"), "{said}");
        let missing = read_credentials(&folder.path().join("none")).err().unwrap().to_string();
        assert!(missing.contains("credentials_file"), "{missing}");
    }
}
