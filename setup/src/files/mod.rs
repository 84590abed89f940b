//! The files that a site file names: read, and looked at. A shell around [`content`].

pub(crate) mod content;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::fault::Fault;
use crate::site::{Pair, Site};
use crate::words::FileName;

/// No file that a site file names is longer.
pub(crate) const BYTES_MAX: u64 = 256 << 10;

/// What is in them. Holds secrets: it is not shown.
pub struct Files {
    /// The customer's secret.
    pub secret: Vec<u8>,
    /// The authority that signed the center's certificate.
    pub ca: Option<Vec<u8>>,
    /// What the two ports know each other by.
    pub pair: Option<PairFiles>,
    /// Who may log on by CIFS.
    pub cifs_users: Option<Vec<u8>>,
    /// Who may log in.
    pub authorized_keys: Option<Vec<u8>>,
}

/// See [`Files::pair`]; each as `storage-port pair keys` made it.
pub struct PairFiles {
    /// `pair.key`.
    pub key: Vec<u8>,
    /// `port.pem`.
    pub certificate: Vec<u8>,
    /// `port.key`.
    pub certificate_key: Vec<u8>,
    /// `ca.pem`.
    pub ca: Vec<u8>,
}

/// A file beside the site file that is not on the disk yet.
pub struct Pending {
    /// Its name.
    pub name: String,
    /// What will stand in it.
    pub content: Vec<u8>,
    /// Whether it is for its owner alone.
    pub is_secret: bool,
}

/// Reads what `site` names; `folder` is where the site file stands, `pending` is taken in place of what is there.
///
/// # Errors
/// All that is wrong with them.
pub fn read(site: &Site, folder: &Path, pending: &[Pending]) -> Result<Files, Vec<Fault>> {
    let mut found = Found { folder, pending, faults: Vec::new() };
    let secret = found.file("[center] secret_file", &site.center.secret_file, content::secret);
    let ca = found.optional("[center] ca_file", site.center.ca_file.as_ref(), content::certificates);
    let cifs_users = found.optional("[cifs] users_file", site.cifs_users.as_ref(), content::cifs_users);
    let authorized_keys =
        found.optional("[ssh] authorized_keys_file", site.authorized_keys.as_ref(), content::authorized_keys);
    let pair = match &site.pair {
        Some(pair) => found.pair(pair).map(Some),
        None => Some(None),
    };
    let all = || {
        let (secret, ca, pair) = (secret?, ca?, pair?);
        Some(Files { secret, ca, pair, cifs_users: cifs_users?, authorized_keys: authorized_keys? })
    };
    all().ok_or(found.faults)
}

/// What was found so far.
struct Found<'a> {
    folder: &'a Path,
    pending: &'a [Pending],
    faults: Vec<Fault>,
}

type Look = fn(&[u8]) -> Result<(), String>;

impl Found<'_> {
    /// The content of a file that is as it should be; `None` was told.
    fn file(&mut self, place: &str, name: &FileName, look: Look) -> Option<Vec<u8>> {
        let read = match self.pending.iter().find(|pending| pending.name == name.as_str()) {
            Some(pending) => Ok(pending.content.clone()),
            None => read_file(&self.folder.join(name.as_str())).map_err(|error| self.absent(&error)),
        };
        let looked = read.and_then(|bytes| look(&bytes).map(|()| bytes));
        looked.map_err(|text| self.faults.push(Fault::at(place, format_args!("{name}: {text}")))).ok()
    }

    /// The same of one that may not be named.
    fn optional(&mut self, place: &str, name: Option<&FileName>, look: Look) -> Option<Option<Vec<u8>>> {
        match name {
            Some(name) => self.file(place, name, look).map(Some),
            None => Some(None),
        }
    }

    fn absent(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::NotFound => {
                format!("there is no such file: put it beside the site file, into {}", self.folder.display())
            }
            io::ErrorKind::IsADirectory => "is a folder: name a file".to_owned(),
            _ => error.to_string(),
        }
    }

    fn pair(&mut self, pair: &Pair) -> Option<PairFiles> {
        const PLACE: &str = "[pair] keys";
        let (folder, member) = (&pair.keys, pair.member);
        let path = self.folder.join(folder.as_str());
        let mut tell = |text: String| {
            self.faults.push(Fault::at(PLACE, format_args!("{folder}: {text}")));
            None
        };
        if !path.is_dir() {
            let text = format!(
                "there is no such folder: `storage-port pair keys --name {} --out DIR` makes one for each port; put \
                 DIR/{member} there",
                pair.name
            );
            return tell(text);
        }
        if !path.join("pair.key").exists() && path.join(member.as_str()).is_dir() {
            let text = format!(
                "holds the keys of both ports: write keys = \"{folder}/{member}\", and take the other folder away"
            );
            return tell(text);
        }
        let name = |file: &str| format!("{folder}/{file}").parse().ok();
        let mut file = |file: &str, look| self.file(PLACE, &name(file)?, look);
        let key = file("pair.key", content::pair_key);
        let certificate = file("port.pem", content::certificates);
        let certificate_key = file("port.key", content::private_key);
        let ca = file("ca.pem", content::certificates);
        let files =
            PairFiles { key: key?, certificate: certificate?, certificate_key: certificate_key?, ca: ca? };
        match content::pair(pair, &path) {
            Ok(()) => Some(files),
            Err(text) => {
                self.faults.push(Fault::at(PLACE, format_args!("{folder}: {text}")));
                None
            }
        }
    }
}

/// Reads a file that is not too long.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}
