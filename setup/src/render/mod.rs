//! From a site file to the configurations of the daemons, and to what the boot scripts must know. Pure.
//!
//! ```text
//! DIR/network               for the boot scripts
//!     storage-port.toml     port-failover.toml, of a pair
//!     authorized_keys       with [ssh]
//!     port/                 secrets of the port; for its user alone
//!     judge/                secrets of the judge, likewise
//! ```

mod judge;
mod merge;
mod network;
mod port;

use std::path::{Path, PathBuf};

use toml::Table;

use crate::disks::{Disk, Disks};
use crate::fault::Fault;
use crate::files::Files;
use crate::site::Site;

/// UDP port of the two judges, and TCP port of the mirror.
const JUDGE_PORT: u16 = 7_420;
const MIRROR_PORT: u16 = 7_421;
/// TCP port of CIFS.
const CIFS_PORT: u16 = 445;
/// A journal takes so much of its disk, for the file system needs some; so does a cache.
const SHARE_PERCENT: u64 = 90;
/// The same of a pair: a port that comes back has its old journal until the other's is whole beside it.
const SHARE_IN_PAIR_PERCENT: u64 = SHARE_PERCENT / 2;
/// What the port takes at least (`[cache.disk] bytes`, `[journal] bytes`).
const CACHE_BYTES_MIN: u64 = 4 << 20;
const JOURNAL_BYTES_MIN: u64 = 32 << 20;

/// A file to be written.
pub struct Rendered {
    /// Below the folder.
    pub path: PathBuf,
    /// What stands in it.
    pub content: Vec<u8>,
    /// Whether it is for its owner alone.
    pub is_secret: bool,
}

impl Rendered {
    fn open(path: &str, content: String) -> Self {
        Self { path: path.into(), content: content.into_bytes(), is_secret: false }
    }

    fn secret(folder: &str, name: &str, content: &[u8]) -> Self {
        Self { path: Path::new(folder).join(name), content: content.to_vec(), is_secret: true }
    }
}

/// All files that a folder of configurations can have: what is not rendered must not be there.
pub const POSSIBLE: [&str; 14] = [
    NETWORK,
    PORT_CONFIG,
    JUDGE_CONFIG,
    "authorized_keys",
    "port/center-ca.pem",
    "port/cifs-users",
    "port/customer.secret",
    "port/pair.key",
    "port/port.pem",
    "port/port.key",
    "port/pair-ca.pem",
    "judge/center-ca.pem",
    "judge/customer.secret",
    "judge/pair.key",
];

/// The file for the boot scripts.
pub const NETWORK: &str = "network";
/// The port's configuration.
pub const PORT_CONFIG: &str = "storage-port.toml";
/// The judge's.
pub const JUDGE_CONFIG: &str = "port-failover.toml";

/// What of the disks is used for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    caches: Vec<Place>,
    journal: Place,
    state: Place,
}

/// A folder of the port's, one of the judge's beside it on the same disk, and what the port may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    port: PathBuf,
    judge: PathBuf,
    bytes: u64,
}

impl Place {
    fn on(disk: &Disk, name: &str, percent: u64) -> Self {
        let bytes = disk.bytes / 100 * percent;
        Self { port: disk.path.join(name).join("port"), judge: disk.path.join(name).join("judge"), bytes }
    }
}

impl Places {
    /// Which folders, or what is missing for them.
    fn of(disks: &Disks, is_pair: bool) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut missing = |label: &str, what: &str| {
            let text = format!(
                "no disk with this label is mounted below {}: `storage-port-disk prepare DEVICE {}` makes one for {what}",
                disks.data.display(),
                label.trim_start_matches("sp-"),
            );
            faults.push(Fault::at(label, text));
        };
        if disks.caches.is_empty() {
            missing("sp-cache0", "the cache; what is on DEVICE is lost");
        }
        if disks.journal.is_none() {
            missing(
                "sp-journal",
                "what clients wrote and the storage center does not have yet; what is on DEVICE is lost",
            );
        }
        let Some(journal) = &disks.journal else { return Err(faults) };
        let percent = if is_pair { SHARE_IN_PAIR_PERCENT } else { SHARE_PERCENT };
        let places = Self {
            caches: disks.caches.iter().map(|disk| Place::on(disk, "cache", SHARE_PERCENT)).collect(),
            journal: Place::on(journal, "journal", percent),
            state: Place::on(disks.state.as_ref().unwrap_or(journal), "state", percent),
        };
        let sizes = places.caches.iter().map(|place| (place, CACHE_BYTES_MIN, SHARE_PERCENT));
        let sizes = sizes.chain([(&places.journal, JOURNAL_BYTES_MIN, percent)]);
        for (place, min, percent) in sizes.filter(|(place, min, _)| place.bytes < *min) {
            let disk = (min * 100).div_ceil(percent << 20);
            let text = format!("too small: it needs a disk with {disk} MiB at least; give a larger one");
            faults.push(Fault::at(place.port.display(), text));
        }
        if faults.is_empty() { Ok(places) } else { Err(faults) }
    }
}

/// What comes of a site.
pub struct Outcome {
    /// What is to be written.
    pub files: Vec<Rendered>,
    /// Why there is no port to be started: what is missing of the disks.
    pub missing: Vec<Fault>,
}

/// Renders a site for a folder `at`, whose path is absolute.
///
/// # Errors
/// A value in `[advanced]` that cannot be written, or paths that are no text.
pub fn render(site: &Site, files: &Files, disks: &Disks, at: &Path) -> Result<Outcome, Vec<Fault>> {
    let (places, missing) = match Places::of(disks, site.pair.is_some()) {
        Ok(places) => (Some(places), Vec::new()),
        Err(missing) => (None, missing),
    };
    let mut out = vec![Rendered::open(NETWORK, network::render(site, places.as_ref()))];
    if let Some(keys) = &files.authorized_keys {
        out.push(Rendered { path: "authorized_keys".into(), content: keys.clone(), is_secret: true });
    }
    let Some(places) = places else { return Ok(Outcome { files: out, missing }) };
    out.push(configuration(PORT_CONFIG, port::render(site, &places, at), &site.advanced.port)?);
    out.push(Rendered::secret("port", "customer.secret", &files.secret));
    if let Some(ca) = &files.ca {
        out.push(Rendered::secret("port", "center-ca.pem", ca));
    }
    if let Some(users) = &files.cifs_users {
        out.push(Rendered::secret("port", "cifs-users", users));
    }
    if let (Some(pair), Some(keys)) = (&site.pair, &files.pair) {
        let judge = judge::render(site, pair, &places, disks.has_watchdog, at);
        out.push(configuration(JUDGE_CONFIG, judge, &site.advanced.judge)?);
        out.push(Rendered::secret("port", "pair.key", &keys.key));
        out.push(Rendered::secret("port", "port.pem", &keys.certificate));
        out.push(Rendered::secret("port", "port.key", &keys.certificate_key));
        out.push(Rendered::secret("port", "pair-ca.pem", &keys.ca));
        out.push(Rendered::secret("judge", "pair.key", &keys.key));
        out.push(Rendered::secret("judge", "customer.secret", &files.secret));
        if let Some(ca) = &files.ca {
            out.push(Rendered::secret("judge", "center-ca.pem", ca));
        }
    }
    Ok(Outcome { files: out, missing })
}

fn configuration(
    name: &str,
    rendered: Result<Table, toml::ser::Error>,
    over: &Table,
) -> Result<Rendered, Vec<Fault>> {
    let written = rendered.and_then(|mut table| {
        merge::merge(&mut table, over);
        toml::to_string(&table)
    });
    let text = written.map_err(|error| vec![Fault::at(name, format_args!("cannot be written: {error}"))])?;
    Ok(Rendered::open(
        name,
        format!("# Made of the site file by `storage-port setup render`: change that, not this.\n\n{text}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port of a pair has two journals for as long as it receives the other's anew.
    #[test]
    fn a_pair_s_journal_fits_on_its_disk_twice() {
        let disk = |name: &str| Disk { path: Path::new("/data").join(name), bytes: 1_000_000_000 };
        let disks =
            Disks { caches: vec![disk("cache0")], journal: Some(disk("journal")), ..Disks::default() };
        let [alone, pair] = [false, true].map(|is_pair| Places::of(&disks, is_pair).unwrap());
        assert_eq!((alone.journal.bytes, pair.journal.bytes), (900_000_000, 450_000_000));
        assert_eq!((alone.caches[0].bytes, pair.caches[0].bytes), (900_000_000, 900_000_000));
        let small = Disk { bytes: 2 * JOURNAL_BYTES_MIN, ..disk("journal") };
        let small = Disks { journal: Some(small), ..disks };
        assert!(Places::of(&small, false).is_ok() && Places::of(&small, true).is_err());
    }
}
