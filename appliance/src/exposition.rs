//! What the port shows a Prometheus server (`[metrics]`): the same answers that its control socket gives, as values.
//! Asks no center. `docs/metrics.md` says what each means.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use metrics::Kind::{Counter, Gauge};
use metrics::{Labels, Number, Page};
use nfs::attendance::Attendance;
use nfs::nlm::manager::LockCounts;
use nfs::tally::Counted;
use protocol::id::Timestamp;

use crate::center::{CenterError, StorageCenter};
use crate::cifs_attendance::CifsStatus;
use crate::data_cache::DataCache;
use crate::inspection::{self, CacheDiskReport, CacheReport, JournalReport};
use crate::journal::Journal;
use crate::status::{self, CustomerStatus, PairStatus, Status};
use crate::translator::Translator;
use crate::uploader::{Uploader, Uploads};

/// Where the values come from.
pub struct Sources<C> {
    /// Of the operation `status`.
    pub status: Arc<status::Sources<C>>,
    /// The data cache.
    pub blocks: DataCache<CenterError>,
    /// Who is served.
    pub attendance: Attendance,
    /// The write journal.
    pub journal: Journal,
    /// Its directory.
    pub journal_dir: PathBuf,
    /// Brings it to the center.
    pub uploader: Arc<Uploader<C>>,
    /// Counts what is read of SRL trees.
    pub translator: Arc<Translator<C>>,
    /// When the port began to serve.
    pub since: Timestamp,
}

/// All of them at one moment.
#[derive(Debug)]
struct Figures {
    since: Timestamp,
    now: Timestamp,
    status: Status,
    cache: CacheReport,
    journal: JournalReport,
    /// Free for the port, and in all; unknown while the disk does not say.
    journal_disk: Option<(u64, u64)>,
    uploads: Uploads,
    clients: u64,
    connections: u64,
    locks: LockCounts,
    calls: Vec<Counted>,
    srl_reads: u64,
}

impl<C: StorageCenter> Sources<C> {
    /// The page, at a time by both clocks.
    pub fn page(&self, now: Instant, wall: Timestamp) -> String {
        // Who went but has something mounted is no client now.
        let clients = self.attendance.list().into_iter().filter(|client| client.connections > 0);
        let (clients, connections) =
            clients.fold((0, 0), |(all, open), client| (all + 1, open + client.connections as u64));
        let figures = Figures {
            since: self.since,
            now: wall,
            status: self.status.status(now),
            cache: inspection::cache(&self.blocks),
            journal: inspection::journal(&self.journal, self.uploader.longest_delay(), wall),
            journal_disk: room(&self.journal_dir).ok(),
            uploads: self.uploader.uploads(),
            clients,
            connections,
            locks: self.attendance.locks(),
            calls: self.attendance.calls(),
            srl_reads: self.translator.srl_reads(),
        };
        figures.page().into_text()
    }
}

/// Bytes that are free on a directory's disk, and what it has. The kernel knows them without asking the disk.
fn room(dir: &PathBuf) -> io::Result<(u64, u64)> {
    let said = rustix::fs::statvfs(dir)?;
    Ok((said.f_bavail.saturating_mul(said.f_frsize), said.f_blocks.saturating_mul(said.f_frsize)))
}

impl Figures {
    fn page(&self) -> Page {
        let page = self.process(Page::new("storage_port"));
        let page = pair(page, self.status.pair.as_ref());
        let page = customers(page, &self.status.customers);
        let page = cache(page, &self.cache);
        let page = self.journal(page);
        let page = self.clients(page);
        cifs(page, self.status.cifs.as_ref())
    }

    fn process(&self, page: Page) -> Page {
        page.build_info(&self.status.version)
            .value(
                Gauge,
                "start_time_seconds",
                "When the port began to serve, in seconds since the epoch.",
                seconds(self.since),
            )
            .value(
                Gauge,
                "clock_seconds",
                "What the port's clock says, in seconds since the epoch: SRLs are dated by it.",
                seconds(self.now),
            )
            .value(Gauge, "exports", "Exports in force.", self.status.exports.len() as u64)
    }

    fn journal(&self, page: Page) -> Page {
        let JournalReport {
            files,
            uploading: _,
            owed_bytes,
            oldest_seconds,
            delay_seconds,
            bytes_used,
            bytes_max,
        } = self.journal;
        let Uploads { under_way, failing, done, failures } = self.uploads;
        let (free, size) = self.journal_disk.unzip();
        page.value(
            Gauge,
            "journal_files",
            "Files with something that the storage center does not have.",
            files,
        )
        .value(Gauge, "journal_owed_bytes", "Bytes that the storage center does not have.", owed_bytes)
        .value(
            Gauge,
            "journal_oldest_seconds",
            "Age of the oldest of them; 0 if there are none.",
            oldest_seconds.unwrap_or(0),
        )
        .value(
            Gauge,
            "journal_delay_seconds",
            "The longest that a write waits for its upload to begin, by the rules of folders.",
            delay_seconds,
        )
        .value(Gauge, "journal_used_bytes", "Bytes of log that cannot be freed yet.", bytes_used)
        .value(
            Gauge,
            "journal_limit_bytes",
            "Most bytes of log; beyond it clients are told to write later.",
            bytes_max,
        )
        .known(Gauge, "journal_disk_free_bytes", "Bytes free on the journal's disk.", free)
        .known(Gauge, "journal_disk_size_bytes", "Bytes that disk has in all.", size)
        .value(Gauge, "uploads_in_flight", "Uploads under way.", under_way as u64)
        .value(
            Gauge,
            "uploads_failing",
            "Files whose last upload failed; each is tried again.",
            failing as u64,
        )
        .value(Counter, "uploads_total", "Uploads that came through.", done)
        .value(Counter, "upload_failures_total", "Uploads that did not, or not yet.", failures)
    }

    fn clients(&self, page: Page) -> Page {
        let LockCounts { held, waiting } = self.locks;
        let outcomes = self.calls.iter().flat_map(|counted| {
            let labels = Labels::of("procedure", counted.procedure);
            counted
                .outcomes
                .map(move |(outcome, count)| (labels.clone().and("outcome", outcome.name()), count))
        });
        let took =
            self.calls.iter().map(|counted| (Labels::of("procedure", counted.procedure), counted.took));
        page.value(Gauge, "clients", "Machines that are connected by NFS.", self.clients)
            .value(Gauge, "connections", "Their connections.", self.connections)
            .value(Gauge, "locks_held", "Locked ranges and shares.", held as u64)
            .value(Gauge, "locks_waiting", "Locks that a client waits for.", waiting as u64)
            .value(
                Counter,
                "srl_reads_total",
                "READs of SRL trees that were answered with an SRL.",
                self.srl_reads,
            )
            .values(
                Counter,
                "nfs_calls_total",
                "NFS calls by procedure and outcome: done, refused, later (ask again), failed.",
                outcomes,
            )
            .histograms(
                "nfs_call_seconds",
                "Time from a whole call in memory to its reply in memory, by procedure.",
                took,
            )
    }
}

/// Of a port without `[cifs]` none of these is there.
fn cifs(page: Page, cifs: Option<&CifsStatus>) -> Page {
    page.known(
        Gauge,
        "cifs_serving",
        "1 if this port answers CIFS clients. Absent without [cifs], as are the following.",
        cifs.map(|cifs| cifs.is_serving),
    )
    .known(
        Gauge,
        "cifs_clients",
        "Machines that are connected by CIFS.",
        cifs.map(|cifs| cifs.clients as u64),
    )
    .known(Gauge, "cifs_connections", "Their connections.", cifs.map(|cifs| cifs.connections as u64))
    .known(
        Gauge,
        "cifs_open_files",
        "Files and folders that CIFS clients have open. Absent where Samba serves, as are the following.",
        cifs.and_then(|cifs| cifs.open_files),
    )
    .known(
        Counter,
        "cifs_read_bytes_total",
        "Bytes that were read by CIFS.",
        cifs.and_then(|cifs| cifs.read_bytes),
    )
    .known(
        Counter,
        "cifs_written_bytes_total",
        "Bytes that were written by CIFS.",
        cifs.and_then(|cifs| cifs.written_bytes),
    )
}

fn pair(page: Page, pair: Option<&PairStatus>) -> Page {
    page.value(
        Gauge,
        "serving",
        "1 if this port answers clients; a port of no pair always does.",
        pair.is_none_or(|pair| pair.is_serving),
    )
    .known(
        Gauge,
        "pair_generation",
        "Newest term of an active port that is known.",
        pair.map(|pair| pair.generation),
    )
    .known(
        Gauge,
        "pair_caught_up",
        "1 if nothing acknowledged is lost should this port take over now.",
        pair.map(|pair| pair.is_caught_up),
    )
    .known(
        Gauge,
        "pair_mirrored",
        "1 if this port serves and the other one has all that it acknowledges.",
        pair.map(|pair| pair.is_mirrored),
    )
    .known(
        Gauge,
        "pair_owed_bytes",
        "Bytes of journal that neither the other port nor the storage center has.",
        pair.map(|pair| pair.owed_bytes),
    )
}

fn customers(page: Page, customers: &[CustomerStatus]) -> Page {
    fn each<N: Into<Number>>(
        customers: &[CustomerStatus],
        value: impl Fn(&CustomerStatus) -> Option<N>,
    ) -> impl Iterator<Item = (Labels, N)> {
        let labelled = move |customer: &CustomerStatus| {
            Some((Labels::of("customer", &customer.id.to_string()), value(customer)?))
        };
        customers.iter().filter_map(labelled)
    }
    page.values(
        Gauge,
        "center_reachable",
        "1 if the storage center answered the last call for this customer.",
        each(customers, |customer| Some(customer.is_center_reachable)),
    )
    .values(
        Gauge,
        "center_contact_seconds",
        "For how long it answers, or does not.",
        each(customers, |customer| Some(customer.contact_seconds)),
    )
    .values(
        Gauge,
        "feed_age_seconds",
        "Since the change feed was heard; up to 25 while nothing changes. Absent before the first time.",
        each(customers, |customer| customer.feed_seconds),
    )
    .values(
        Gauge,
        "directory_entries",
        "Rows in the directory cache.",
        each(customers, |customer| Some(customer.directory_entries)),
    )
}

fn cache(page: Page, report: &CacheReport) -> Page {
    fn each<N: Into<Number>>(
        disks: &[CacheDiskReport],
        value: impl Fn(&CacheDiskReport) -> N,
    ) -> impl Iterator<Item = (Labels, N)> {
        disks.iter().map(move |disk| (Labels::of("disk", &disk.path), value(disk)))
    }
    let CacheReport { hits, misses, warmed, evictions, corrupt, disks } = report;
    page.value(Counter, "cache_hits_total", "Blocks found in the data cache.", *hits)
        .value(Counter, "cache_misses_total", "Blocks fetched from the storage center.", *misses)
        .value(Counter, "cache_warmed_total", "Blocks fetched before anybody read them; no misses.", *warmed)
        .value(Counter, "cache_evictions_total", "Files thrown out for room.", *evictions)
        .value(Counter, "cache_corrupt_total", "Files thrown out because their bytes were wrong.", *corrupt)
        .values(
            Gauge,
            "cache_disk_online",
            "1 if the disk takes part; one that failed is tried again.",
            each(disks, |disk| disk.is_in_service),
        )
        .values(Gauge, "cache_disk_used_bytes", "Bytes cached on it.", each(disks, |disk| disk.bytes_used))
        .values(
            Gauge,
            "cache_disk_limit_bytes",
            "Most bytes to be cached on it.",
            each(disks, |disk| disk.bytes_max),
        )
        .values(
            Gauge,
            "cache_disk_pinned_bytes",
            "Of the bytes cached on it, those that go last.",
            each(disks, |disk| disk.pinned_bytes),
        )
        .values(
            Gauge,
            "cache_disk_files",
            "Files on it: blocks of at most 1 MiB, and lists of digests.",
            each(disks, |disk| disk.files),
        )
}

fn seconds(time: Timestamp) -> Number {
    Number::Real((time.0 / 1_000_000) as f64 / 1e3)
}
