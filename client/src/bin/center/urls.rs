//! URLs: srl makes them, download and upload use them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use client::{Bearer, Center};
use percent_encoding::percent_decode_str;
use protocol::name::Name;
use protocol::srl::{ObjectName, SrlOperation};
use protocol::vfs::Body;

use crate::Outcome;
use crate::arguments::Term;
use crate::download;
use crate::files::print;
use crate::meter::Meter;
use crate::remote::{self, RemotePath};
use crate::show;
use crate::upload;

pub(crate) async fn srl(
    center: &Center,
    path: &RemotePath,
    term: &Term,
    store: bool,
    ask: Option<String>,
) -> Outcome {
    let row = remote::open(center, path).await?;
    let name = row.name.as_ref().map_or(&b""[..], |name| name.as_bytes());
    match (&row.body, store) {
        (Body::Folder { .. }, true) => print_url(center, SrlOperation::Store { parent: row.id }, b"", term),
        (Body::Folder { .. }, false) => {
            Err(path.told("a folder has no URL to fetch it by; name a file, or give --store"))
        }
        (Body::File { .. }, true) => {
            Err(path.told("is a file; --store is for the folder that files go into"))
        }
        (Body::File { content }, false) => {
            let object = ObjectName::Content(content.fingerprint);
            let operation = match ask {
                Some(callback) => SrlOperation::FetchAuth { object, callback },
                None => SrlOperation::Fetch { object },
            };
            print_url(center, operation, name, term)
        }
    }
}

/// Prints a URL by which anybody may do this for a time.
pub(crate) fn print_url(center: &Center, operation: SrlOperation, uri: &[u8], term: &Term) -> Outcome {
    let expires = if term.expires_in == 0 { 0 } else { now().saturating_add(term.expires_in) };
    print(std::iter::once(center.end_user_url(operation, uri, expires, term.signature.into())))
}

pub(crate) async fn download(bearer: &Bearer, url: &str, local: &Path) -> Outcome {
    let place = place(url, local)?;
    let found = bearer.look(url).await.map_err(|error| error.to_string())?;
    let name = place.file_name().unwrap_or(place.as_os_str()).to_string_lossy().into_owned();
    download::save(bearer.download(url, found), &show::plain(name.as_bytes()), found, &place, None).await
}

pub(crate) async fn upload(bearer: &Bearer, local: &Path, url: &str) -> Outcome {
    let (content, _) = upload::hash(local).await?;
    let meter = Meter::new(&local.to_string_lossy(), content.size);
    let source = upload::metered(local, &meter);
    let stored = bearer.upload(url, client::new_token(), &content, source).await;
    meter.finish();
    let stored = stored.map_err(|error| upload::not_stored(local, &error))?;
    let file = stored.file.map_or(String::new(), |file| format!(" file {file}"));
    print(std::iter::once(format!("md5 {}{file}", stored.content.fingerprint)))
}

/// Where the file goes: under the URL's own name, if a folder is named.
fn place(url: &str, local: &Path) -> Result<PathBuf, String> {
    if !local.is_dir() {
        return Ok(local.to_owned());
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name: Vec<u8> = percent_decode_str(path.rsplit('/').next().unwrap_or_default()).collect();
    let name = Name::new(&name).map_err(|_| "the URL gives the file no name; say how it shall be called")?;
    Ok(local.join(OsStr::from_bytes(name.as_bytes())))
}

#[allow(clippy::disallowed_methods, reason = "an SRL expires by the wall clock, and this is the shell")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stranger's URL names a file in the folder that was given, and nothing outside of it.
    #[test]
    fn a_url_names_a_file_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |url: &str| place(url, folder.path());
        assert_eq!(at("http://c/MS8/0f/a/b%20c.jpg"), Ok(folder.path().join("b c.jpg")));
        for nameless in
            ["http://c/MS8/0f/", "http://c/MS8/0f/..", "http://c/MS8/0f/%2e%2e%2fx", "http://c/a%00b"]
        {
            assert!(at(nameless).is_err(), "{nameless}");
        }
        assert_eq!(place("http://c/MS8/0f/", Path::new("x.jpg")), Ok(PathBuf::from("x.jpg")));
    }
}
