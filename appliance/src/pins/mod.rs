//! Pins: folders and files that are kept in the data cache and fetched ahead (PORT-3, PORT-4).
//!
//! | file | what |
//! |---|---|
//! | `list` | what is pinned, on the disk |
//! | `report` | what is told of it |
//!
//! A round looks through all that is pinned, tells the cache which objects to keep ([`DataCache::pin`]), and fetches what is
//! not there. The next begins when the change feed tells of something that was seen in the last one: a new file is a change of
//! its folder. What has no room in the share of the cache that may be pinned is left out, and told.

mod list;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use control::Lines;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, future, stream};
use protocol::digest::Content;
use protocol::id::{CustomerId, ObjectId};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub use self::list::Pin;
pub use self::report::{Figures, PinLine, PinReport, PinsReport, Unpinned};
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::data_cache::{DataCache, DiskUsage};
use crate::directory_cache::News;
use crate::translator::Translator;
use crate::warm::{self, Came, FETCHES_MAX, FetchError, Fetcher, Found, Missed, MissedWhy, Step, Walk};

/// Most pins. A folder is one, whatever is in it.
const PINS_MAX: usize = 1_000;
/// Between two rounds at least, and so many times as long as the look took: a busy folder costs little.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_SHARE: u32 = 20;
/// The next round at the latest, where something failed, and else: a disk may have lost some.
const RETRY: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// How often who pins is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Objects told to the cache while others wait to work.
const STEP_OBJECTS: usize = 256;

/// What a pinner works with.
pub struct Parts<C> {
    /// Where the list is.
    pub list: PathBuf,
    /// Most files and folders below all pins: they have to stay in the directory cache, or each round asks for all of them.
    pub rows_max: usize,
    /// Knows paths.
    pub translator: Arc<Translator<C>>,
    /// Whose files may be pinned.
    pub customers: HashMap<CustomerId, Arc<Customer<C>>>,
    /// The cache.
    pub blocks: DataCache<CenterError>,
    /// Brings files into it.
    pub fetcher: Fetcher,
}

/// See the module.
pub struct Pinner<C> {
    parts: Parts<C>,
    pins: Mutex<Pins>,
    /// One changes the list at a time.
    changing: tokio::sync::Mutex<()>,
    /// What was seen below pins: a change of it begins a round.
    known: Mutex<HashSet<Row>>,
    /// Grows when a round is due.
    due: watch::Sender<u64>,
}

type Row = (CustomerId, ObjectId);

struct Pins {
    all: Vec<(Pin, Figures)>,
    /// The list could not be read: it is not written over.
    damage: Option<String>,
}

/// What a look has found.
struct Look {
    wanted: HashSet<Content>,
    known: HashSet<Row>,
    /// Nothing was kept from being seen.
    is_whole: bool,
}

impl<C: StorageCenter> Pinner<C> {
    /// Reads the list; what is in it is kept once [`run`](Self::run) runs. One that cannot be read is told of, and nothing is
    /// pinned.
    pub fn open(parts: Parts<C>) -> Self {
        let (pins, damage) = match list::load(&parts.list) {
            Ok(pins) => (pins, None),
            Err(error) => {
                let damage = format!(
                    "the list of pins {}: {error}; mend or remove it, and start the port again",
                    parts.list.display()
                );
                tracing::error!("{damage}; nothing is pinned");
                (Vec::new(), Some(damage))
            }
        };
        let all = pins.into_iter().map(|pin| (pin, Figures::default())).collect();
        Self {
            parts,
            pins: Mutex::new(Pins { all, damage }),
            changing: tokio::sync::Mutex::default(),
            known: Mutex::default(),
            due: watch::Sender::new(0),
        }
    }

    /// Keeps what is pinned, until the task is dropped.
    pub async fn run(self: Arc<Self>) {
        let listeners = self.parts.customers.values().map(|customer| self.listen(customer));
        tokio::join!(future::join_all(listeners), self.work());
    }

    /// Begins another round: something may be missing from the cache.
    pub fn look_again(&self) {
        self.due.send_modify(|due| *due += 1);
    }

    /// Pins what is at a path, unless there is no room: [`PinLine`]s, until the last. Dropped before that, they pin nothing.
    ///
    /// # Errors
    /// One line: it names no path.
    pub fn begin(self: &Arc<Self>, arguments: &Value) -> Result<Lines, String> {
        let path = path_of(arguments)?;
        let (teller, lines) = mpsc::channel(1);
        let pinner = Arc::clone(self);
        tokio::spawn(async move {
            let listener = teller.clone();
            tokio::select! {
                () = listener.closed() => {}
                () = async {
                    let last = match pinner.pin(path, &teller).await {
                        Ok(pinned) => pinned,
                        Err(why) => PinLine::Refused { why },
                    };
                    tell(&teller, &last).await;
                } => {}
            }
        });
        let next = |mut lines: mpsc::Receiver<Value>| async move {
            let line = lines.recv().await?;
            Some((line, lines))
        };
        Ok(stream::unfold(lines, next).boxed())
    }

    async fn pin(&self, path: String, teller: &mpsc::Sender<Value>) -> Result<PinLine, String> {
        let _changing = self.changing.lock().await;
        let pins = self.usable()?;
        let start = warm::start(&self.parts.translator, path).await;
        let start = start.map_err(|(path, why)| format!("{path}: {why}"))?;
        let pin =
            Pin { customer: start.customer.id.0, object: start.entry.row.id.0, path: start.path.clone() };
        let is_new = !pins.iter().any(|other| (other.customer, other.object) == (pin.customer, pin.object));
        if is_new && pins.len() >= PINS_MAX {
            return Err(format!(
                "there are {PINS_MAX} pins, as many as there may be: unpin one, or pin a folder above them"
            ));
        }
        let mut count = Count { told: Instant::now(), ..Count::new(self.parts.blocks.fit_pinned()) };
        for other in pins.iter().filter(|other| (other.customer, other.object) != (pin.customer, pin.object))
        {
            if let Ok(Some(walk)) = self.walk(other).await {
                count.all(walk, teller).await?;
            }
        }
        let others = count.fit.bytes();
        (count.files, count.bytes) = (0, 0);
        count.all(start.walk(), teller).await?;
        let Count { fit, rows, files, bytes, .. } = count;
        if !fit.is_within() {
            let (needed, room) = (fit.bytes().saturating_sub(others), fit.room());
            return Err(format!(
                "{files} files take {needed} bytes of the cache beside {others} that are pinned, and {room} may be, in pieces \
                 that each belong on one of its disks: unpin something, or give `pinned_share` or the disks of [cache] more"
            ));
        }
        if rows > self.parts.rows_max {
            return Err(format!(
                "{rows} files and folders would be pinned, and {} may be: unpin something, or give `directory_entries` of \
                 [cache] more, of which that is the half",
                self.parts.rows_max
            ));
        }
        let path = pin.path.clone();
        if is_new {
            let mut pins = pins;
            pins.push(pin);
            self.store(pins).await?;
            tracing::info!(path, files, bytes, "pinned, as an operator wanted");
        }
        Ok(PinLine::Pinned { path, files, bytes })
    }

    /// Lets what is at a path go in its turn again.
    ///
    /// # Errors
    /// One line: it is not pinned, or the list could not be written.
    pub async fn unpin(&self, arguments: &Value) -> Result<Unpinned, String> {
        let path = path_of(arguments)?;
        let _changing = self.changing.lock().await;
        let mut pins = self.usable()?;
        let at = match pins.iter().position(|pin| pin.path == path) {
            Some(at) => Some(at),
            // It has another name now.
            None => match warm::start(&self.parts.translator, path.clone()).await {
                Ok(start) => {
                    let (customer, object) = (start.customer.id.0, start.entry.row.id.0);
                    pins.iter().position(|pin| (pin.customer, pin.object) == (customer, object))
                }
                Err(_) => None,
            },
        };
        let at = at.ok_or_else(|| format!("{path} is not pinned; `cache pins` says what is"))?;
        let Pin { path, .. } = pins.remove(at);
        self.store(pins).await?;
        tracing::info!(path, "pinned no longer, as an operator wanted");
        Ok(Unpinned { path })
    }

    /// All pins, as of the last look.
    pub fn report(&self) -> PinsReport {
        let disks = self.parts.blocks.usage();
        let sum = |value: fn(&DiskUsage) -> u64| disks.iter().map(value).sum();
        let report = |(Pin { customer, object, path }, figures): &(Pin, Figures)| PinReport {
            path: path.clone(),
            customer: *customer,
            object: *object,
            figures: *figures,
        };
        PinsReport {
            pinned_bytes: sum(|disk| disk.pinned),
            pinned_bytes_max: sum(|disk| disk.pinned_max),
            pins: locked(&self.pins).all.iter().map(report).collect(),
        }
    }

    fn usable(&self) -> Result<Vec<Pin>, String> {
        let pins = locked(&self.pins);
        match &pins.damage {
            Some(damage) => Err(damage.clone()),
            None => Ok(pins.all.iter().map(|(pin, _)| pin.clone()).collect()),
        }
    }

    fn current(&self) -> Vec<Pin> {
        locked(&self.pins).all.iter().map(|(pin, _)| pin.clone()).collect()
    }

    /// Makes this the list, on the disk first.
    async fn store(&self, pins: Vec<Pin>) -> Result<(), String> {
        let (path, stored) = (self.parts.list.clone(), pins.clone());
        let written = tokio::task::spawn_blocking(move || list::store(&path, stored)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|error| format!("cannot write {}: {error}", self.parts.list.display()))?;
        {
            let mut all = locked(&self.pins);
            let figures: HashMap<(u32, u64), Figures> =
                all.all.iter().map(|(pin, figures)| ((pin.customer, pin.object), *figures)).collect();
            let known = |pin: &Pin| figures.get(&(pin.customer, pin.object)).copied().unwrap_or_default();
            all.all = pins.into_iter().map(|pin| (pin.clone(), known(&pin))).collect();
        }
        self.look_again();
        Ok(())
    }

    async fn listen(&self, customer: &Customer<C>) {
        let mut listener = customer.directory.listen();
        loop {
            let is_ours = match listener.next().await {
                News::All => true,
                News::Changed(id) => locked(&self.known).contains(&(customer.id, id)),
            };
            if is_ours {
                self.look_again();
            }
        }
    }

    async fn work(&self) {
        let mut due = self.due.subscribe();
        let mut kept = HashSet::new();
        loop {
            due.mark_unchanged();
            let begun = Instant::now();
            let look = self.look().await;
            let took = begun.elapsed();
            let is_whole = look.is_whole;
            self.keep(&mut kept, look).await;
            let pause = PAUSE_MIN.max(took * PAUSE_SHARE);
            let is_done = self.fetch(&kept, &due, pause).await;
            tokio::time::sleep(pause).await;
            let patience = if is_whole && is_done { LOOK_EVERY } else { RETRY };
            // The sender is ours; and if nothing is told, it is time for a look all the same.
            let _ = timeout(patience, due.changed()).await;
        }
    }

    /// Looks through all that is pinned.
    async fn look(&self) -> Look {
        let mut fit = self.parts.blocks.fit_pinned();
        let mut look = Look { wanted: HashSet::new(), known: HashSet::new(), is_whole: true };
        for pin in self.current() {
            let mut figures = Figures { is_known: true, ..Figures::default() };
            let customer = CustomerId(pin.customer);
            let mut walk = match self.walk(&pin).await {
                Ok(Some(walk)) => walk,
                Ok(None) => {
                    self.note(&pin, |known| *known = Figures { is_gone: true, ..figures });
                    continue;
                }
                // What was known of it is still the best that is known.
                Err(_) => {
                    look.is_whole = false;
                    continue;
                }
            };
            while let Some(step) = walk.next().await {
                match step {
                    Step::Folder(id) => self.know(&mut look, (customer, id)),
                    Step::File(Found { id, content, .. }) => {
                        self.know(&mut look, (customer, id));
                        figures.files += 1;
                        figures.bytes += content.size;
                        figures.bytes_cached += warm::held(walk.customer(), &content).await;
                        if look.known.len() < self.parts.rows_max && fit.admit(&content) {
                            look.wanted.insert(content);
                        } else {
                            figures.left_out += 1;
                        }
                    }
                    Step::Missed(Missed { why, .. }) => {
                        figures.failed += 1;
                        look.is_whole &= !matches!(why, MissedWhy::Center(_));
                    }
                }
            }
            let had_room = |known: &Figures| known.left_out == 0;
            let was_told = self.note(&pin, |known| std::mem::replace(known, figures));
            if figures.left_out > 0 && was_told.is_none_or(|known| had_room(&known)) {
                tracing::warn!(
                    path = pin.path,
                    files = figures.left_out,
                    "pinned files have no room: unpin something, or give `pinned_share` or the disks of [cache] more"
                );
            }
        }
        look
    }

    /// Remembers what was seen, at once: a change that comes during the look is one as well.
    fn know(&self, look: &mut Look, row: Row) {
        if look.known.len() < self.parts.rows_max && look.known.insert(row) {
            locked(&self.known).insert(row);
        }
    }

    /// Has the cache keep what is wanted, and nothing else unless something could not be seen.
    async fn keep(&self, kept: &mut HashSet<Content>, look: Look) {
        let Look { wanted, known, is_whole } = look;
        let blocks = &self.parts.blocks;
        let mut has_room = false;
        if is_whole {
            *locked(&self.known) = known;
            let gone: Vec<_> = kept.difference(&wanted).copied().collect();
            has_room = !gone.is_empty();
            for (number, content) in gone.iter().enumerate() {
                blocks.unpin(content);
                kept.remove(content);
                rest(number).await;
            }
        }
        for (number, content) in wanted.into_iter().enumerate() {
            // Of what was pinned before some may have had no room.
            if kept.insert(content) || has_room {
                blocks.pin(&content);
                rest(number).await;
            }
        }
    }

    /// Fetches what is not there, for at least so long, and then until another round is due: where something changes all
    /// the time, one always is. Whether all of it is there.
    async fn fetch(&self, kept: &HashSet<Content>, due: &watch::Receiver<u64>, least: Duration) -> bool {
        let (begun, mut is_done) = (Instant::now(), true);
        for pin in self.current() {
            let Ok(Some(mut walk)) = self.walk(&pin).await else { continue };
            let customer = Arc::clone(walk.customer());
            let cached = self.note(&pin, |figures| figures.bytes_cached).unwrap_or_default();
            let came = Came::default();
            let noted = |done: Result<(), FetchError>| {
                let fetched = came.fetched.load(Ordering::Relaxed);
                self.note(&pin, |figures| {
                    figures.bytes_cached = figures.bytes.min(cached + fetched);
                    figures.failed += u64::from(done.is_err());
                });
                done
            };
            let mut flights = FuturesUnordered::new();
            while let Some(step) = walk.next().await {
                if begun.elapsed() >= least && due.has_changed().unwrap_or(true) {
                    is_done = false;
                    break;
                }
                let Step::File(found) = step else { continue };
                if !kept.contains(&found.content) {
                    continue;
                }
                if flights.len() >= FETCHES_MAX as usize
                    && let Some(done) = flights.next().await
                {
                    match noted(done) {
                        Err(FetchError::Center(_)) => return false,
                        done => is_done &= done.is_ok(),
                    }
                }
                let (customer, came) = (&customer, &came);
                flights.push(async move { self.parts.fetcher.file(customer, &found, came).await });
            }
            while let Some(done) = flights.next().await {
                is_done &= noted(done).is_ok();
            }
        }
        is_done
    }

    /// The way through a pin; `None` if it is gone.
    async fn walk(&self, pin: &Pin) -> Result<Option<Walk<C>>, CenterError> {
        let Some(customer) = self.parts.customers.get(&CustomerId(pin.customer)) else { return Ok(None) };
        match customer.directory.row(ObjectId(pin.object)).await {
            Ok(entry) => Ok(Some(Walk::new(Arc::clone(customer), pin.path.clone(), entry))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes what is known of a pin, if it is one still.
    fn note<T>(&self, pin: &Pin, change: impl FnOnce(&mut Figures) -> T) -> Option<T> {
        let mut pins = locked(&self.pins);
        let mut all = pins.all.iter_mut();
        let (_, figures) = all.find(|(other, _)| other == pin)?;
        Some(change(figures))
    }
}

/// Counts what is to be pinned.
struct Count {
    fit: crate::data_cache::Fit,
    rows: usize,
    files: u64,
    bytes: u64,
    told: Instant,
}

impl Count {
    fn new(fit: crate::data_cache::Fit) -> Self {
        Self { fit, rows: 0, files: 0, bytes: 0, told: Instant::now() }
    }

    async fn all<C: StorageCenter>(
        &mut self,
        mut walk: Walk<C>,
        teller: &mpsc::Sender<Value>,
    ) -> Result<(), String> {
        while let Some(step) = walk.next().await {
            self.rows += 1;
            match step {
                Step::Folder(_) => {}
                Step::File(found) => {
                    self.fit.add(&found.content);
                    self.files += 1;
                    self.bytes += found.content.size;
                }
                Step::Missed(Missed { path, why }) => return Err(format!("{path}: {why}")),
            }
            if self.told.elapsed() >= TELL_EVERY {
                self.told = Instant::now();
                tell(teller, &PinLine::Counting { files: self.files }).await;
            }
        }
        Ok(())
    }
}

/// The path that an operation was given, written in one way.
fn path_of(arguments: &Value) -> Result<String, String> {
    let path = arguments.get("path").and_then(Value::as_str).ok_or("name a `path`")?;
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    if path.starts_with('/') {
        Ok(format!("/{}", names.join("/")))
    } else {
        Err(format!("{path}: a path begins with the export's, like `/export/folder`"))
    }
}

async fn tell(teller: &mpsc::Sender<Value>, line: &PinLine) {
    match serde_json::to_value(line) {
        // Who has hung up ends this anyway.
        Ok(line) => drop(teller.send(line).await),
        Err(error) => tracing::warn!("a line was not told: {error}"),
    }
}

/// Lets others work now and then.
async fn rest(number: usize) {
    if number % STEP_OBJECTS == STEP_OBJECTS - 1 {
        tokio::task::yield_now().await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
