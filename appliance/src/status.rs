//! The operation `status`: what the port is doing now, from what is at hand. Asks no center and no disk.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::id::CustomerId;
use serde::{Deserialize, Serialize};

use crate::center::StorageCenter;
use crate::cifs_attendance::{CifsAttendance, CifsStatus, ShareStatus};
use crate::customer::Customer;
use crate::directory_cache::Condition;
use crate::journal::Journal;
use crate::traffic::{Counts, Traffic};
use crate::translator::Translator;
use crate::translator::export::{Export, Squash};
use crate::translator::handle::Tree;
use crate::wan::Throttle;
use crate::wan::schedule::Limits;

/// Most users of a share that people are told.
const SHOWN_MAX: usize = 4;

/// A port's answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Status {
    /// Of the program.
    pub version: String,
    /// Of the process.
    pub pid: u32,
    /// Since it began to serve.
    pub uptime_seconds: u64,
    /// In order of path.
    pub exports: Vec<ExportStatus>,
    /// In order of id.
    pub customers: Vec<CustomerStatus>,
    /// The write journal.
    pub journal: JournalStatus,
    /// The way to the storage center.
    #[serde(default)]
    pub wan: WanStatus,
    /// Of a port of a pair.
    #[serde(default)]
    pub pair: Option<PairStatus>,
    /// Of a port with `[cifs]`.
    #[serde(default)]
    pub cifs: Option<CifsStatus>,
}

/// How this port stands to the other one. Who is well enough to serve the judge says: `port-failover status`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PairStatus {
    /// The pair's name.
    pub name: String,
    /// Whether this port answers clients.
    pub is_serving: bool,
    /// In which generation; of one that does not, the newest it has heard of.
    pub generation: u64,
    /// Nothing that was acknowledged is lost if this port takes over now.
    pub is_caught_up: bool,
    /// This port serves, and the other one has all that it acknowledges.
    pub is_mirrored: bool,
    /// Bytes of journal that neither the other port nor the center has.
    pub owed_bytes: u64,
    /// Why the other port does not mirror this one, which serves; nothing while it does.
    #[serde(default)]
    pub alone_because: Option<String>,
}

/// One export in force.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ExportStatus {
    /// What clients mount.
    pub path: String,
    /// `files` or `srl`.
    pub tree: String,
    /// Whose.
    pub customer: u32,
    /// Which folder of his.
    pub folder: String,
    /// Networks that may use it; empty for all.
    pub allowed: Vec<String>,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// Whether `.versions` shows what is kept of deleted and overwritten files.
    #[serde(default)]
    pub versions: bool,
    /// `none`, `root` or `all`.
    pub squash: String,
    /// By which CIFS clients have it: as at the start of the port.
    #[serde(default)]
    pub shares: Vec<ShareStatus>,
}

/// How one customer's storage center stands.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CustomerStatus {
    /// Who.
    pub id: u32,
    /// The center answered the last call.
    pub is_center_reachable: bool,
    /// For how long it does, or does not.
    #[serde(default)]
    pub contact_seconds: u64,
    /// How long ago its change feed was heard; nothing before the first time since the start.
    #[serde(default)]
    pub feed_seconds: Option<u64>,
    /// Rows in the directory cache.
    #[serde(default)]
    pub directory_entries: u64,
}

/// What clients wrote and the center does not have yet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct JournalStatus {
    /// Files with something staged.
    pub files: u64,
    /// Bytes of log that cannot be freed yet.
    pub bytes_used: u64,
    /// What there may be.
    pub bytes_max: u64,
}

/// What went between the port and the storage center since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct WanStatus {
    /// Bytes of objects that came.
    pub received_bytes: u64,
    /// Bytes of objects that were stored there.
    pub sent_bytes: u64,
    /// How long the center takes to answer a question about the directory, on average of the last few, way there and back
    /// included; nothing before the first.
    pub answer_micros: Option<u64>,
    /// Most bytes a second to the center now; nothing where there is no limit.
    #[serde(default)]
    pub upload_bytes_per_second: Option<u64>,
    /// The same from it.
    #[serde(default)]
    pub fetch_bytes_per_second: Option<u64>,
}

impl WanStatus {
    fn new(counts: Counts, limits: Limits) -> Self {
        let Counts { received, sent, answer } = counts;
        let micros = |answer: Duration| u64::try_from(answer.as_micros()).unwrap_or(u64::MAX);
        Self {
            received_bytes: received,
            sent_bytes: sent,
            answer_micros: answer.map(micros),
            upload_bytes_per_second: limits.upload.map(NonZeroU64::get),
            fetch_bytes_per_second: limits.fetch.map(NonZeroU64::get),
        }
    }
}

/// What is limited; nothing if nothing is.
impl fmt::Display for WanStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = [(self.upload_bytes_per_second, "to"), (self.fetch_bytes_per_second, "from")];
        for (limit, way) in limits {
            if let Some(limit) = limit {
                writeln!(f, "wan: now at most {limit} bytes a second {way} the storage center")?;
            }
        }
        Ok(())
    }
}

/// Where a status comes from.
pub struct Sources<C> {
    /// When the port began to serve.
    pub since: Instant,
    /// Has the exports.
    pub translator: Arc<Translator<C>>,
    /// Every customer served.
    pub customers: HashMap<CustomerId, Arc<Customer<C>>>,
    /// The write journal.
    pub journal: Journal,
    /// What goes over the WAN.
    pub traffic: Arc<Traffic>,
    /// Limits it.
    pub throttle: Arc<Throttle>,
    /// Says how the pair stands, if there is one.
    pub pair: Option<Arc<dyn Fn() -> PairStatus + Send + Sync>>,
    /// How CIFS is used, if it is served.
    pub cifs: Option<Arc<CifsAttendance>>,
}

impl<C: StorageCenter> Sources<C> {
    /// The status at `now`.
    pub fn status(&self, now: Instant) -> Status {
        let since = |then| now.saturating_duration_since(then).as_secs();
        let customer = |customer: &Arc<Customer<C>>| {
            let Condition { is_reachable, since: turned, fed, entries } = customer.directory.condition();
            CustomerStatus {
                id: customer.id.0,
                is_center_reachable: is_reachable,
                contact_seconds: since(turned),
                feed_seconds: fed.map(since),
                directory_entries: entries as u64,
            }
        };
        let mut customers: Vec<_> = self.customers.values().map(customer).collect();
        customers.sort_by_key(|customer| customer.id);
        let usage = self.journal.usage();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: since(self.since),
            exports: self.translator.current_exports().iter().map(|export| self.export(export)).collect(),
            customers,
            journal: JournalStatus {
                files: usage.files as u64,
                bytes_used: usage.bytes_used,
                bytes_max: usage.bytes_max,
            },
            wan: WanStatus::new(self.traffic.counts(), self.throttle.limits()),
            pair: self.pair.as_ref().map(|pair| pair()),
            cifs: self.cifs.as_ref().map(|cifs| cifs.status()),
        }
    }

    fn export(&self, export: &Export) -> ExportStatus {
        let shares = self.cifs.as_ref().map(|cifs| cifs.shares_of(&export.path));
        ExportStatus { shares: shares.unwrap_or_default(), ..ExportStatus::from(export) }
    }
}

impl From<&Export> for ExportStatus {
    fn from(export: &Export) -> Self {
        let names = export.folder.iter().map(|name| format!("/{}", String::from_utf8_lossy(name)));
        let folder: String = names.collect();
        Self {
            path: export.path.clone(),
            tree: match export.tree {
                Tree::Files => "files",
                Tree::Srl => "srl",
            }
            .to_owned(),
            customer: export.customer.0,
            folder: if folder.is_empty() { "/".to_owned() } else { folder },
            allowed: export.allowed.iter().map(ToString::to_string).collect(),
            read_only: export.read_only,
            versions: export.versions,
            squash: match export.squash {
                Squash::None => "none",
                Squash::Root => "root",
                Squash::All => "all",
            }
            .to_owned(),
            shares: Vec::new(),
        }
    }
}

impl ExportStatus {
    /// What may be done through it, for people.
    pub fn access(&self) -> &'static str {
        if self.read_only || self.tree == "srl" { "read-only" } else { "read and write" }
    }

    /// Who may use it, for people.
    pub fn allowed_to(&self) -> String {
        if self.allowed.is_empty() { "everybody".to_owned() } else { self.allowed.join(" ") }
    }

    /// Its shares and who may use them, for people; empty if there are none.
    pub fn shared_as(&self) -> String {
        let shares = self.shares.iter().map(|ShareStatus { name, users }| match users.len() {
            0..=SHOWN_MAX => format!("{name} ({})", users.join(", ")),
            more => format!("{name} ({} and {} more)", users[..SHOWN_MAX].join(", "), more - SHOWN_MAX),
        });
        shares.collect::<Vec<_>>().join(", ")
    }
}

/// For people.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, pid, uptime_seconds, exports, customers, journal, wan, pair, cifs } = self;
        let uptime = Duration::from_secs(*uptime_seconds);
        writeln!(f, "storage-port {version}, process {pid}, serving for {uptime:?}")?;
        for customer in customers {
            let state = if customer.is_center_reachable { "answers" } else { "is away" };
            writeln!(f, "customer {}: the storage center {state}", customer.id)?;
        }
        for export in exports {
            writeln!(f, "{export}")?;
        }
        if let Some(cifs) = cifs {
            writeln!(f, "{cifs}")?;
        }
        wan.fmt(f)?;
        let JournalStatus { files, bytes_used, bytes_max } = journal;
        write!(f, "journal: {files} files to upload, {bytes_used} of {bytes_max} bytes used")?;
        pair.as_ref().map_or(Ok(()), |pair| write!(f, "\n{pair}"))
    }
}

impl fmt::Display for ExportStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, tree, customer, folder, squash, .. } = self;
        let (access, allowed) = (self.access(), self.allowed_to());
        let versions = if self.versions { ", with .versions" } else { "" };
        write!(
            f,
            "export {path}: {tree} of customer {customer} below {folder}, {access}{versions}, squash {squash}, for \
             {allowed}"
        )?;
        match self.shares.is_empty() {
            true => Ok(()),
            false => write!(f, "; by CIFS as {}", self.shared_as()),
        }
    }
}

impl fmt::Display for CifsStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, is_serving, clients, connections, open_files, .. } = self;
        if !is_serving {
            return write!(f, "cifs: not served at {listen} now");
        }
        write!(f, "cifs: served at {listen}, {connections} connections of {clients} clients")?;
        open_files.map_or(Ok(()), |open| write!(f, ", {open} files open"))
    }
}

impl fmt::Display for PairStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, is_serving, generation, is_caught_up, is_mirrored, owed_bytes, alone_because } =
            self;
        match (is_serving, is_mirrored, is_caught_up) {
            (true, true, _) => write!(
                f,
                "pair {name}: serves in generation {generation}; what it acknowledges is on the other port, too"
            ),
            (true, false, _) => {
                write!(
                    f,
                    "pair {name}: serves in generation {generation}, ALONE; {owed_bytes} bytes are on this port only"
                )?;
                let reason = alone_because.as_ref();
                reason.map_or(Ok(()), |reason| write!(f, "; the other port does not mirror it: {reason}"))
            }
            (false, _, true) => {
                write!(f, "pair {name}: passive, and could take over from generation {generation}")
            }
            (false, _, false) => write!(
                f,
                "pair {name}: passive, and LACKS, or may lack, acknowledged writes of the other port (generation \
                 {generation})"
            ),
        }
    }
}
