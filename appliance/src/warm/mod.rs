//! Warming: bringing the files of trees into the data cache before anybody reads them (PORT-3, PORT-4).
//!
//! | file | what |
//! |---|---|
//! | `line` | what is wanted, and what is told of it |
//! | `walk` | the files of a tree |
//! | `fetcher` | their bytes, one after the other while clients wait for theirs |
//!
//! First all is counted: what has no room beside itself is refused, with figures. Then it is walked a second time and what
//! is not there is fetched. So nothing is remembered but where it is, and whoever ends it goes on from there by the same
//! command.

mod fetcher;
mod line;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use control::Lines;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, stream};
use nfs::filesystem::FsError;
use protocol::digest::Content;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

pub use self::fetcher::{Came, FETCHES_MAX, FetchError, Fetcher};
pub use self::line::{Line, Order, Progress};
pub use self::walk::{Found, Missed, MissedWhy, Step, Walk};
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::data_cache::DataCache;
use crate::directory_cache::Entry;
use crate::translator::handle::Tree;
use crate::translator::{Located, Translator};

/// How often the progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// Lines that were not taken yet; then it waits.
const LINES_MAX: usize = 16;
/// Files found and not begun.
const FOUND_MAX: usize = 64;

/// See the module.
pub struct Warmer<C> {
    translator: Arc<Translator<C>>,
    blocks: DataCache<CenterError>,
    fetcher: Fetcher,
    /// One at a time: two would count the same room twice.
    turn: Arc<Semaphore>,
}

/// Where to begin.
pub(crate) struct Start<C> {
    pub(crate) path: String,
    pub(crate) customer: Arc<Customer<C>>,
    pub(crate) entry: Arc<Entry>,
}

impl<C: StorageCenter> Start<C> {
    /// The files from there on.
    pub(crate) fn walk(&self) -> Walk<C> {
        Walk::new(Arc::clone(&self.customer), self.path.clone(), Arc::clone(&self.entry))
    }
}

/// What `path` leads to, or why to nothing.
pub(crate) async fn start<C: StorageCenter>(
    translator: &Translator<C>,
    path: String,
) -> Result<Start<C>, (String, String)> {
    match translator.locate(&path).await {
        Ok(Located { tree: Tree::Files, customer, entry }) => Ok(Start { path, customer, entry }),
        Ok(Located { tree: Tree::Srl, .. }) => {
            Err((path, "SRLs are in no cache: name the files' own export".to_owned()))
        }
        Err(FsError::NotFound) => {
            let why = "there is no such thing: name it as clients do, from the export's path on";
            Err((path, why.to_owned()))
        }
        Err(FsError::TryLater) => Err((path, "the storage center does not answer".to_owned())),
        Err(error) => Err((path, error.to_string())),
    }
}

/// It does not go on.
enum Stop {
    Refused { bytes: u64, room: u64 },
    Center(CenterError),
}

impl<C: StorageCenter> Warmer<C> {
    /// Of what `translator` exports, into `blocks`, by the fetcher of that cache.
    pub fn new(translator: Arc<Translator<C>>, blocks: DataCache<CenterError>, fetcher: Fetcher) -> Self {
        Self { translator, blocks, fetcher, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Begins to warm, as an [`Order`] says: [`Line`]s, until the last. Dropped, they end it.
    ///
    /// # Errors
    /// One line: it is no order, or another one is under way.
    pub fn begin(self: &Arc<Self>, order: Value) -> Result<Lines, String> {
        let order: Order = serde_json::from_value(order).map_err(|error| error.to_string())?;
        let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() else {
            return Err("another `cache warm` is under way: wait for its end, or end it".to_owned());
        };
        let (teller, lines) = mpsc::channel(LINES_MAX);
        let warmer = Arc::clone(self);
        tokio::spawn(async move {
            let (listener, teller) = (teller.clone(), Teller(teller));
            let last = tokio::select! {
                () = listener.closed() => return tracing::info!("`cache warm` was ended by who wanted it"),
                last = warmer.run(order, &teller) => last,
            };
            // Who has read the last line may begin again.
            drop(turn);
            teller.tell(&last).await;
        });
        let next = |mut lines: mpsc::Receiver<Value>| async move {
            let line = lines.recv().await?;
            Some((line, lines))
        };
        Ok(stream::unfold(lines, next).boxed())
    }

    /// The last line.
    async fn run(&self, Order { paths, dry_run }: Order, teller: &Teller) -> Line {
        let mut progress = Progress::default();
        let mut starts = Vec::new();
        for path in paths {
            match start(&self.translator, path).await {
                Ok(start) => starts.push(start),
                Err((path, why)) => teller.failed(&mut progress, path, why).await,
            }
        }
        let done = match self.count(&starts, dry_run, &mut progress, teller).await {
            Ok(()) if dry_run => Ok(()),
            Ok(()) => self.fetch(&starts, &mut progress, teller).await,
            stop => stop,
        };
        let Progress { files_done, failed, bytes_fetched, .. } = progress;
        let last = match done {
            Ok(()) => Line::Done(progress),
            Err(Stop::Refused { bytes, room }) => Line::Refused { bytes, room },
            Err(Stop::Center(error)) => Line::Stopped { progress, why: error.to_string() },
        };
        if !dry_run {
            tracing::info!(
                files_done,
                failed,
                bytes_fetched,
                "the data cache was warmed, as an operator wanted"
            );
        }
        last
    }

    /// Counts the files, and those that are there if `whether_held`, and whether all have room.
    async fn count(
        &self,
        starts: &[Start<C>],
        whether_held: bool,
        progress: &mut Progress,
        teller: &Teller,
    ) -> Result<(), Stop> {
        let mut fit = self.blocks.fit();
        let mut told = Instant::now();
        for start in starts {
            let mut walk = start.walk();
            while let Some(step) = walk.next().await {
                match step {
                    Step::Folder(_) => {}
                    Step::File(found) => {
                        fit.add(&found.content);
                        progress.files += 1;
                        progress.bytes += found.content.size;
                        if whether_held {
                            let held = held(&start.customer, &found.content).await;
                            progress.bytes_done += held;
                            progress.files_done += u64::from(held == found.content.size);
                        }
                    }
                    Step::Missed(Missed { why: MissedWhy::Center(error), .. })
                        if fetcher::ends_all(&error) =>
                    {
                        return Err(Stop::Center(error));
                    }
                    // Told when it is fetched, and that may go well.
                    Step::Missed(Missed { path, why }) if whether_held => {
                        teller.failed(progress, path, why.to_string()).await;
                    }
                    Step::Missed(_) => {}
                }
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    teller.tell(&Line::Counting(*progress)).await;
                }
            }
        }
        if fit.is_within() { Ok(()) } else { Err(Stop::Refused { bytes: fit.bytes(), room: fit.room() }) }
    }

    /// Fetches what is not there.
    async fn fetch(&self, starts: &[Start<C>], progress: &mut Progress, teller: &Teller) -> Result<(), Stop> {
        let (finder, finds) = mpsc::channel(FOUND_MAX);
        let ((), done) = tokio::join!(find(starts, finder), self.fetch_found(finds, progress, teller));
        done
    }

    async fn fetch_found(
        &self,
        mut finds: mpsc::Receiver<(Arc<Customer<C>>, Step)>,
        progress: &mut Progress,
        teller: &Teller,
    ) -> Result<(), Stop> {
        let came = Came::default();
        let mut flights = FuturesUnordered::new();
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_open = true;
        while is_open || !flights.is_empty() {
            let (mut failed, mut stop) = (None, None);
            tokio::select! {
                found = finds.recv(), if is_open && flights.len() < FETCHES_MAX as usize => match found {
                    Some((_, Step::Folder(_))) => {}
                    Some((customer, Step::File(found))) => {
                        let came = &came;
                        flights.push(async move {
                            let done = self.fetcher.file(&customer, &found, came).await;
                            (found.path, done)
                        });
                    }
                    Some((_, Step::Missed(Missed { why: MissedWhy::Center(error), .. })))
                        if fetcher::ends_all(&error) =>
                    {
                        stop = Some(error);
                    }
                    Some((_, Step::Missed(Missed { path, why }))) => failed = Some((path, why.to_string())),
                    None => is_open = false,
                },
                Some((path, done)) = flights.next(), if !flights.is_empty() => match done {
                    Ok(()) => progress.files_done += 1,
                    Err(FetchError::Center(error)) => stop = Some(error),
                    Err(error) => failed = Some((path, error.to_string())),
                },
                _ = ticks.tick() => teller.tell(&Line::Fetching(*progress)).await,
            }
            progress.bytes_done = came.done.load(Ordering::Relaxed);
            progress.bytes_fetched = came.fetched.load(Ordering::Relaxed);
            if let Some((path, why)) = failed {
                teller.failed(progress, path, why).await;
            }
            if let Some(error) = stop {
                return Err(Stop::Center(error));
            }
        }
        Ok(())
    }
}

/// Hands on the files of all, until nobody takes them.
async fn find<C: StorageCenter>(starts: &[Start<C>], finder: mpsc::Sender<(Arc<Customer<C>>, Step)>) {
    for start in starts {
        let mut walk = start.walk();
        while let Some(step) = walk.next().await {
            if finder.send((Arc::clone(&start.customer), step)).await.is_err() {
                return;
            }
        }
    }
}

/// Bytes of `content` that are in the cache.
pub(crate) async fn held<C: StorageCenter>(customer: &Customer<C>, content: &Content) -> u64 {
    let mut bytes = 0;
    for index in 0..content.blocks() {
        if customer.objects.holds(content, index).await {
            bytes += content.block_len(index);
        }
    }
    bytes
}

/// Who is told.
struct Teller(mpsc::Sender<Value>);

impl Teller {
    async fn tell(&self, line: &Line) {
        match serde_json::to_value(line) {
            // Who has hung up ends all this anyway.
            Ok(line) => drop(self.0.send(line).await),
            Err(error) => tracing::warn!("a line was not told: {error}"),
        }
    }

    async fn failed(&self, progress: &mut Progress, path: String, why: String) {
        progress.failed += 1;
        self.tell(&Line::Failed { path, why }).await;
    }
}
