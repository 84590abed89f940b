//! The operations `cache`, `cache-drop`, `clients` and `journal`: what an operator asks of a running port beside its
//! status. No center is asked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nfs::attendance::{Attendance, Client};
use protocol::id::Timestamp;
use serde::{Deserialize, Serialize};

use crate::center::CenterError;
use crate::cifs_attendance::{CifsAttendance, Present};
use crate::data_cache::{Counters, DataCache, DiskUsage};
use crate::journal::{Journal, Owed};

/// Most clients that are told, so that an answer has a bound.
const CLIENTS_MAX: usize = 10_000;

/// How the data cache does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CacheReport {
    /// Blocks found since the start.
    pub hits: u64,
    /// Blocks fetched from the center.
    pub misses: u64,
    /// Blocks fetched before anybody read them.
    #[serde(default)]
    pub warmed: u64,
    /// Files thrown out for room.
    pub evictions: u64,
    /// Files whose bytes were wrong; each was thrown out and fetched again.
    pub corrupt: u64,
    /// In the order of the configuration.
    pub disks: Vec<CacheDiskReport>,
}

/// One disk of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CacheDiskReport {
    /// Its directory.
    pub path: String,
    /// It takes part; one that failed is tried again every half a minute.
    pub is_in_service: bool,
    /// Bytes on it.
    pub bytes_used: u64,
    /// What there may be.
    pub bytes_max: u64,
    /// Bytes of them that are pinned.
    #[serde(default)]
    pub pinned_bytes: u64,
    /// Most bytes that may be.
    #[serde(default)]
    pub pinned_bytes_max: u64,
    /// Files on it: blocks of at most 1 MiB, and lists of digests.
    pub files: u64,
}

/// What came of emptying the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CacheDropped {
    /// Bytes that are free now.
    pub bytes: u64,
    /// Nothing is left of what was there.
    pub is_whole: bool,
}

/// Who uses the port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ClientsReport {
    /// In order of address.
    pub clients: Vec<ClientReport>,
    /// How many more there are.
    pub left_off: usize,
    /// Calls of NFS that were answered since the start, whoever made them.
    #[serde(default)]
    pub calls: u64,
}

/// One client: a machine by its address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ClientReport {
    /// Its address.
    pub address: String,
    /// Its open connections of NFS.
    pub connections: usize,
    /// For so long it has had one at least; nothing of a client without any.
    pub connected_seconds: Option<u64>,
    /// What it mounted and has not unmounted since.
    pub mounts: Vec<MountReport>,
    /// Its connections of CIFS, if it has any: as the kernel told them within the last second.
    #[serde(default)]
    pub cifs: Option<CifsReport>,
}

/// A client's connections of CIFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CifsReport {
    /// How many are open.
    pub connections: usize,
    /// For so long it has had one at least.
    pub connected_seconds: u64,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MountReport {
    /// Of which export, or what below it.
    pub path: String,
    /// How long ago.
    pub seconds: u64,
}

/// What clients wrote and the center does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct JournalReport {
    /// Files with something of it.
    pub files: u64,
    /// Of them, those whose upload has begun.
    pub uploading: u64,
    /// Bytes to upload.
    pub owed_bytes: u64,
    /// How long ago the first of it was written; nothing where nothing is owed.
    pub oldest_seconds: Option<u64>,
    /// The longest that a write waits for its upload to begin, as `[upload]` and the folders' rules say.
    pub delay_seconds: u64,
    /// Bytes of log that cannot be freed yet.
    pub bytes_used: u64,
    /// What there may be.
    pub bytes_max: u64,
}

/// How the data cache does.
pub fn cache(cache: &DataCache<CenterError>) -> CacheReport {
    let Counters { hits, misses, warmed, evictions, corrupt } = cache.counters();
    let [hits, misses, warmed, evictions, corrupt] =
        [hits, misses, warmed, evictions, corrupt].map(|counter| counter.load(Ordering::Relaxed));
    let disk = |DiskUsage { path, is_up, bytes, bytes_max, pinned, pinned_max, files }| CacheDiskReport {
        path: path.display().to_string(),
        is_in_service: is_up,
        bytes_used: bytes,
        bytes_max,
        pinned_bytes: pinned,
        pinned_bytes_max: pinned_max,
        files,
    };
    CacheReport {
        hits,
        misses,
        warmed,
        evictions,
        corrupt,
        disks: cache.usage().into_iter().map(disk).collect(),
    }
}

/// Empties the data cache. Reads go on, from the center.
pub async fn drop_cache(cache: &DataCache<CenterError>) -> CacheDropped {
    let before = cache.bytes();
    let is_whole = cache.clear().await;
    CacheDropped { bytes: before.saturating_sub(cache.bytes()), is_whole }
}

/// Who uses the port at `now`, by NFS and, if that is served, by CIFS.
pub fn clients(attendance: &Attendance, cifs: Option<&CifsAttendance>, now: Instant) -> ClientsReport {
    let all = together(attendance.list(), cifs.map(CifsAttendance::list).unwrap_or_default(), now);
    let left_off = all.len().saturating_sub(CLIENTS_MAX);
    let calls = attendance.calls().iter().flat_map(|counted| counted.outcomes).map(|(_, count)| count).sum();
    ClientsReport { clients: all.into_iter().take(CLIENTS_MAX).collect(), left_off, calls }
}

/// A machine that comes by both is one client.
fn together(by_nfs: Vec<Client>, by_cifs: BTreeMap<IpAddr, Present>, now: Instant) -> Vec<ClientReport> {
    let seconds = |then| now.saturating_duration_since(then).as_secs();
    let mut all: BTreeMap<IpAddr, ClientReport> = BTreeMap::new();
    let new = |address: IpAddr| ClientReport {
        address: address.to_string(),
        connections: 0,
        connected_seconds: None,
        mounts: Vec::new(),
        cifs: None,
    };
    for Client { address, connections, connected, mounts } in by_nfs {
        let client = all.entry(address).or_insert_with(|| new(address));
        (client.connections, client.connected_seconds) = (connections, connected.map(seconds));
        let mounts = mounts.into_iter().map(|(path, at)| MountReport { path, seconds: seconds(at) });
        client.mounts.extend(mounts);
    }
    for (address, Present { connections, since }) in by_cifs {
        let client = all.entry(address).or_insert_with(|| new(address));
        client.cifs = Some(CifsReport { connections, connected_seconds: seconds(since) });
    }
    all.into_values().collect()
}

/// What is in the journal at `now`, from which files are uploaded after `delay` at the latest.
pub fn journal(journal: &Journal, delay: Duration, now: Timestamp) -> JournalReport {
    let (Owed { files, uploading, bytes, oldest }, usage) = (journal.owed(), journal.usage());
    // A clock that was set back makes no negative age.
    let age =
        |then: Timestamp| Duration::from_nanos(u64::try_from(now.0.saturating_sub(then.0)).unwrap_or(0));
    JournalReport {
        files,
        uploading,
        owed_bytes: bytes,
        oldest_seconds: oldest.map(|oldest| age(oldest).as_secs()),
        delay_seconds: delay.as_secs(),
        bytes_used: usage.bytes_used,
        bytes_max: usage.bytes_max,
    }
}

impl CacheReport {
    /// Of a hundred blocks so many were hits; `None` before the first.
    pub fn hit_percent(&self) -> Option<u64> {
        (self.hits * 100).checked_div(self.hits + self.misses)
    }
}

/// For people.
impl fmt::Display for CacheReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hits, misses, warmed, evictions, corrupt, disks } = self;
        let share = self.hit_percent().map_or("-".to_owned(), |share| format!("{share} %"));
        write!(f, "since the start: {hits} hits, {misses} misses ({share} hits), {evictions} thrown out")?;
        if *warmed > 0 {
            write!(f, ", {warmed} fetched before anybody read them")?;
        }
        if *corrupt > 0 {
            write!(f, ", {corrupt} WRONG ON DISK: check the disks")?;
        }
        for CacheDiskReport { path, is_in_service, bytes_used, bytes_max, pinned_bytes, files, .. } in disks {
            let mut state = String::new();
            if *pinned_bytes > 0 {
                state.push_str(&format!(", {pinned_bytes} bytes pinned"));
            }
            if !is_in_service {
                state.push_str(", OUT OF SERVICE");
            }
            write!(f, "\n{path}: {bytes_used} of {bytes_max} bytes in {files} files{state}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CacheDropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes were dropped", self.bytes)?;
        if !self.is_whole {
            f.write_str(
                "; some may be left, for a disk is out of service, or is still looked through after the start: say it \
                 again in a minute",
            )?;
        }
        Ok(())
    }
}

impl ClientReport {
    /// How it is connected, for people.
    pub fn connected(&self) -> String {
        let for_seconds = |connections, seconds| {
            format!("{connections} connections, connected for {:?}", Duration::from_secs(seconds))
        };
        let by_nfs = self.connected_seconds.map(|seconds| for_seconds(self.connections, seconds));
        let by_cifs =
            self.cifs.map(|cifs| format!("CIFS: {}", for_seconds(cifs.connections, cifs.connected_seconds)));
        let all: Vec<String> = by_nfs.into_iter().chain(by_cifs).collect();
        if all.is_empty() { "not connected".to_owned() } else { all.join("; ") }
    }
}

impl fmt::Display for ClientsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, left_off, calls: _ } = self;
        let mut lines = Vec::new();
        for client in clients {
            let mut line = format!("{}: {}", client.address, client.connected());
            let mounts = &client.mounts;
            for MountReport { path, seconds } in mounts {
                line.push_str(&format!("; mounted {path} {:?} ago", Duration::from_secs(*seconds)));
            }
            lines.push(line);
        }
        if *left_off > 0 {
            lines.push(format!("and {left_off} more"));
        }
        if lines.is_empty() {
            lines.push("nobody is connected".to_owned());
        }
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for JournalReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, uploading, owed_bytes, oldest_seconds, delay_seconds: _, bytes_used, bytes_max } =
            self;
        match oldest_seconds {
            Some(seconds) => {
                let age = Duration::from_secs(*seconds);
                write!(
                    f,
                    "owed to the storage center: {owed_bytes} bytes of {files} files, {uploading} of them under way; the \
                     oldest was written {age:?} ago"
                )?;
            }
            None => f.write_str("nothing is owed to the storage center")?,
        }
        write!(f, "\nlog: {bytes_used} of {bytes_max} bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_for_people_too() {
        let disk = CacheDiskReport {
            path: "/data/cache0".into(),
            is_in_service: false,
            bytes_used: 5,
            bytes_max: 9,
            pinned_bytes: 4,
            pinned_bytes_max: 4,
            files: 1,
        };
        let mut cache =
            CacheReport { hits: 3, misses: 1, warmed: 0, evictions: 0, corrupt: 2, disks: vec![disk] };
        let said = cache.to_string();
        assert!(
            said.contains("75 % hits")
                && said.contains("4 bytes pinned")
                && said.contains("2 WRONG")
                && said.contains("OUT OF SERVICE"),
            "{said}"
        );
        (cache.hits, cache.misses) = (0, 0);
        assert!(cache.to_string().contains("(- hits)"));
        let client = ClientReport {
            address: "192.0.2.9".into(),
            connections: 0,
            connected_seconds: None,
            mounts: vec![MountReport { path: "/export".into(), seconds: 61 }],
            cifs: None,
        };
        let both = ClientReport {
            connections: 2,
            connected_seconds: Some(5),
            cifs: Some(CifsReport { connections: 1, connected_seconds: 3 }),
            ..client.clone()
        };
        let said = "2 connections, connected for 5s; CIFS: 1 connections, connected for 3s";
        assert_eq!(both.connected(), said);
        let clients = ClientsReport { clients: vec![client], left_off: 2, calls: 0 };
        assert_eq!(clients.to_string(), "192.0.2.9: not connected; mounted /export 61s ago\nand 2 more");
        assert_eq!(
            ClientsReport { clients: Vec::new(), left_off: 0, calls: 0 }.to_string(),
            "nobody is connected"
        );
        assert!(CacheDropped { bytes: 1, is_whole: false }.to_string().contains("again in a minute"));
    }

    #[test]
    fn who_comes_by_both_is_one_client() {
        let (one, other) = (IpAddr::from([192, 0, 2, 7]), IpAddr::from([192, 0, 2, 8]));
        let since = Instant::now();
        let present = Present { connections: 2, since };
        let by_nfs =
            vec![Client { address: other, connections: 1, connected: Some(since), mounts: Vec::new() }];
        let by_cifs = BTreeMap::from([(one, present), (other, present)]);
        let all = together(by_nfs, by_cifs, since + Duration::from_secs(9));
        let cifs = Some(CifsReport { connections: 2, connected_seconds: 9 });
        let told = all.iter().map(|client| (client.address.as_str(), client.connections, client.cifs));
        assert_eq!(told.collect::<Vec<_>>(), [("192.0.2.7", 0, cifs), ("192.0.2.8", 1, cifs)]);
    }
}
