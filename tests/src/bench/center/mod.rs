//! `./bench center`: the storage center beside nginx, an MD5 loop and a bare store, work by work in turns.
//!
//! - [`work`] says what is done, and what the center shall reach.
//! - [`cluster`] starts the centers, [`crate::nginx`] the other server, [`bare`] is what has no server.
//! - [`load`] and [`http`] are the clients: [`load`] fetches, [`store`] stores.
//! - [`locate`] finds objects among many nodes.
//! - [`full_node`] is started again and again.
//! - [`table`] prints.

pub mod bare;
pub mod cluster;
pub mod full_node;
pub mod http;
pub mod load;
pub mod locate;
pub mod store;
pub mod table;
pub mod work;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use protocol::digest::Fingerprint;

use self::cluster::{Center, Layout, Manager};
use self::full_node::FullNode;
use self::http::Connection;
use self::load::Load;
use self::locate::Locating;
use self::store::Large;
use self::table::{Row, Sample, Samples};
use self::work::Work;
use crate::bench::load::Done;
use crate::bench::wait_idle;
use crate::daemon::{Daemon, cpu_seconds};
use crate::data;
use crate::nginx::Nginx;

/// How long fetches run.
const RUN: Duration = Duration::from_secs(2);
/// Connections that fetch, each with one request in flight.
const CONNECTIONS: usize = 16;
/// Objects of one size that are fetched in turn, of this many bytes together at most.
const OBJECTS_MAX: u64 = 1_024;
const OBJECTS_BYTES_MAX: u64 = 256 << 20;
/// Different SRLs of an object: so that no check of one is that of another.
const SRLS_PER_OBJECT: u64 = 8;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often everything is measured.
    pub rounds: usize,
    /// Only rows with this in their title.
    pub only: String,
    /// Which center.
    pub layout: Layout,
    /// Objects of the node that is started.
    pub objects: u64,
}

/// Measures, and prints the table.
pub fn compare(options: &Options, scratch: &Path) {
    let is_chosen = |work: &Work| work.title().contains(&options.only) && work.fits(options.layout);
    let works: Vec<Work> = Work::all(options.objects).into_iter().filter(is_chosen).collect();
    assert!(!works.is_empty(), "no row of such a center has {:?} in its title", options.only);
    let mut scene = Scene::new(options.layout, scratch);
    let mut rows: Vec<Row> = works
        .into_iter()
        .map(|work| {
            let (ours, beside) = (Samples::default(), Samples::default());
            Row { work, ours, beside, beside_name: beside_name(work) }
        })
        .collect();
    for round in 1..=options.rounds {
        for Row { work, ours, beside, beside_name } in &mut rows {
            eprintln!("round {round} of {}: {}", options.rounds, work.title());
            ours.0.extend(told(scene.measure(*work).inspect_err(|_| scene.show_log(*work))));
            if beside_name.is_some() {
                beside.0.extend(told(scene.measure_beside(*work)));
            }
        }
    }
    println!("{}", table::comparison(&rows));
}

fn told(measured: io::Result<Sample>) -> Option<Sample> {
    measured.inspect_err(|error| eprintln!("  failed: {error}")).ok()
}

/// Who stands beside the center in a row.
fn beside_name(work: Work) -> Option<String> {
    match work {
        Work::Cached { .. } => Some(Nginx::name()),
        Work::Miss { .. } => Some(format!("{} before another", Nginx::name())),
        Work::Upload => Some("openssl md5".into()),
        Work::Stores => Some("bare loop".into()),
        Work::Locate { .. } | Work::Start { .. } => None,
    }
}

/// Everything works are done on, made when it is first wanted.
struct Scene<'a> {
    layout: Layout,
    scratch: &'a Path,
    center: OnceCell<Center>,
    serving: OnceCell<Nginx>,
    passing: OnceCell<Nginx>,
    /// The objects that are fetched, by their size: in the center and as files of nginx.
    stocks: HashMap<u64, Vec<Fingerprint>>,
    large: OnceCell<Large>,
    locating: Option<Locating>,
    full_node: Option<FullNode>,
}

impl<'a> Scene<'a> {
    fn new(layout: Layout, scratch: &'a Path) -> Self {
        Self {
            layout,
            scratch,
            center: OnceCell::new(),
            serving: OnceCell::new(),
            passing: OnceCell::new(),
            stocks: HashMap::new(),
            large: OnceCell::new(),
            locating: None,
            full_node: None,
        }
    }

    /// One run of a work by the center.
    fn measure(&mut self, work: Work) -> io::Result<Sample> {
        match work {
            Work::Cached { bytes } | Work::Miss { bytes, .. } => {
                let stock = self.stock(bytes)?;
                let (center, manager) = (self.center(), work.manager());
                let fetches = (0..SRLS_PER_OBJECT).flat_map(|turn| {
                    let first = turn * stock.len() as u64;
                    (first..).zip(&stock).map(|(number, object)| center.fetch(manager, *object, number))
                });
                let server = center.address(manager);
                let load = Load { server, requests: fetches.collect(), body_bytes: bytes };
                fetch(&load, stock.len(), &center.pids(manager))
            }
            Work::Upload => {
                let (center, large) = (self.center(), self.large.get_or_init(Large::random));
                counted(&center.pids(work.manager()), || store::upload(center, large))
            }
            Work::Stores => {
                let center = self.center();
                counted(&center.pids(work.manager()), || store::store_many(center))
            }
            Work::Locate { percentile, lost_percent } => {
                let locating = match &mut self.locating {
                    Some(locating) => locating,
                    none => none.insert(Locating::start()?),
                };
                locating.measure(percentile, lost_percent)
            }
            Work::Start { objects, finding } => {
                let node = match &mut self.full_node {
                    Some(node) => node,
                    none => none.insert(FullNode::prepare(self.layout, &self.scratch.join("full"), objects)?),
                };
                node.start(finding)
            }
        }
    }

    /// One run of what stands beside the center.
    fn measure_beside(&mut self, work: Work) -> io::Result<Sample> {
        match work {
            Work::Cached { bytes } | Work::Miss { bytes, .. } => {
                let stock = self.stock(bytes)?;
                let mut servers = vec![self.serving()];
                if matches!(work, Work::Miss { .. }) {
                    servers.push(self.passing());
                }
                let pids: Vec<u32> = servers.iter().map(|server| server.pid()).collect();
                let server = servers[servers.len() - 1].address;
                let requests = stock.iter().map(|object| http::get(server, &path(*object))).collect();
                fetch(&Load { server, requests, body_bytes: bytes }, stock.len(), &pids)
            }
            Work::Upload => Ok(Sample { done: bare::md5()?, cpu_seconds: None }),
            Work::Stores => {
                let dir = self.scratch.join("bare");
                let done = bare::store(&dir, store::CLIENTS, store::SMALL_BYTES, store::RUN)?;
                Ok(Sample { done, cpu_seconds: None })
            }
            Work::Locate { .. } | Work::Start { .. } => Err(io::Error::other("nothing stands beside it")),
        }
    }

    fn center(&self) -> &Center {
        self.center.get_or_init(|| {
            eprintln!("  starting the center");
            Center::start(self.layout)
        })
    }

    /// After a failure, for whoever wonders.
    fn show_log(&self, work: Work) {
        if let Some(center) = self.center.get() {
            eprintln!("  the log of the object manager ends:\n{}", center.log_tail(work.manager()));
        }
    }

    fn serving(&self) -> &Nginx {
        self.serving.get_or_init(|| Nginx::serving(self.scratch, &self.files()))
    }

    fn passing(&self) -> &Nginx {
        self.passing.get_or_init(|| Nginx::passing(self.scratch, self.serving().address))
    }

    /// The folder that nginx serves.
    fn files(&self) -> std::path::PathBuf {
        self.scratch.join("files")
    }

    /// Objects of so many bytes, in the center and in nginx's folder, the same in both: asked of both once.
    fn stock(&mut self, bytes: u64) -> io::Result<Vec<Fingerprint>> {
        if let Some(stock) = self.stocks.get(&bytes) {
            return Ok(stock.clone());
        }
        let count = OBJECTS_MAX.min(OBJECTS_BYTES_MAX / bytes);
        eprintln!("  storing {count} objects of {bytes} bytes");
        fs::create_dir_all(self.files())?;
        let center = self.center();
        let mut connection = Connection::open(center.address(Manager::Caching))?;
        let mut content = data::bytes(bytes, bytes as usize);
        let mut stock = Vec::new();
        for _ in 0..count {
            let mark = center.next_mark();
            content[..mark.len()].copy_from_slice(&mark);
            let object =
                center.put(&mut connection, bytes, |stream| io::Write::write_all(stream, &content))?;
            fs::write(self.files().join(path(object).trim_start_matches('/')), &content)?;
            stock.push(object);
        }
        // What was stored last shall not be written to the disk while something is measured.
        rustix::fs::syncfs(fs::File::open(self.files())?)?;
        if let Some(last) = stock.last() {
            let request = center.fetch(Manager::Caching, *last, 0);
            check(center.address(Manager::Caching), &request, &content)?;
            let server = self.serving().address;
            check(server, &http::get(server, &path(*last)), &content)?;
        }
        self.stocks.insert(bytes, stock.clone());
        Ok(stock)
    }
}

/// An object's path at nginx.
fn path(object: Fingerprint) -> String {
    format!("/{object}.MD5")
}

/// Whether a request is answered with exactly these bytes.
fn check(server: SocketAddr, request: &[u8], content: &[u8]) -> io::Result<()> {
    let answer = Connection::open(server)?.exchange(request, |_| Ok(()))?;
    if answer == content { Ok(()) } else { Err(io::Error::other(format!("{server} gives other bytes"))) }
}

/// Fetches everything once, so that caches are warm, and then for a while.
fn fetch(load: &Load, objects: usize, pids: &[u32]) -> io::Result<Sample> {
    load.run(CONNECTIONS, |sent| sent < objects as u64)?;
    counted(pids, || {
        let start = Instant::now();
        let answered = load.run(CONNECTIONS, |_| start.elapsed() < RUN)?;
        Ok(Done { amount: answered as f64, seconds: start.elapsed().as_secs_f64() })
    })
}

/// Does something on idle processes, and counts what processor time they take for it.
fn counted(pids: &[u32], work: impl FnOnce() -> io::Result<Done>) -> io::Result<Sample> {
    wait_idle(pids);
    let used = || pids.iter().map(|pid| cpu_seconds(*pid)).sum::<f64>();
    let before = used();
    let done = work()?;
    Ok(Sample { done, cpu_seconds: Some(used() - before) })
}

fn pid(daemon: &Daemon) -> u32 {
    daemon.pid().as_raw_nonzero().get() as u32
}
