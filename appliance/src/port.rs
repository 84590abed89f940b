//! One storage port, put together from its configuration: opens everything, serves, and stops in good order.

use std::collections::HashMap;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::Operations;
use control::socket::ControlSocket;
use nfs::duty::Duty;
use nfs::nsm::ledger::Ledger;
use nfs::server::{Addresses, BindError, Server};
use page_server::page::event_log::EventLog;
use protocol::id::CustomerId;
use protocol::srl::Secret;
use rustix::fs::FlockOperation;
use samba::kept::Kept;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::center::{CenterError, Fenced, StorageCenter};
use crate::cifs_gateway::{self, CifsGateway, GatewayError};
use crate::config::{self, Config, ConfigError, SecretError, read_or_make_key};
use crate::customer::Customer;
use crate::data_cache::{self, DataCache};
use crate::directory_cache::{self, Directory};
use crate::exposition;
use crate::host;
use crate::inspection::{self, ClientsReport, JournalReport};
use crate::journal::{self, Journal, JournalError};
use crate::lock_ledger::LockLedger;
use crate::mirror::identity::{Identity, IdentityError};
use crate::mirror::ledger::SharedLedger;
use crate::mirror::mark::{Mark, NEVER};
use crate::mirror::safety::Safety;
use crate::mirror::{self, Mirror};
use crate::object::Objects;
use crate::pair::register::CenterRegister;
use crate::pair::role::Role;
use crate::pair::{self, Paired};
use crate::pins::{self, Pinner};
use crate::reload::Reloader;
use crate::status::{self, PairStatus};
use crate::status_page::password::PasswordHash;
use crate::status_page::{self, StatusPage};
use crate::traffic::Traffic;
use crate::translator::handle::HandleKey;
use crate::translator::{Translator, Turn};
use crate::upload_queue;
use crate::uploader::Uploader;
use crate::wan::Throttle;
use crate::warm::{Fetcher, Warmer};

/// How long the start waits for a center that does not answer; then it serves what it knows.
const FIRST_CONTACT: Duration = Duration::from_secs(3);
/// How long a stopping port goes on uploading.
const LAST_UPLOADS: Duration = Duration::from_secs(10);
/// The directory cache is saved this often at most, and it takes at most one part in so many of the time: a small one
/// is always fresh, a large one costs little.
const SNAPSHOT_EVERY_MIN: Duration = Duration::from_secs(1);
const SNAPSHOT_SHARE: u32 = 50;
/// Blocks kept open per cache disk.
const OPEN_FILES_MAX: usize = 1_024;
/// In the state directory: what is pinned.
const PINS: &str = "pins.json";
/// One part in so many of the directory cache may be rows below pins.
const PINNED_ROWS_SHARE: usize = 2;
/// In the state directory: the key of the handles of a port that is not one of a pair.
pub const HANDLE_KEY: &str = "handle_key";
/// Entries of the data cache's index per disk: a terabyte in blocks of 1 MiB.
const BLOCKS_MAX: usize = 1 << 20;
/// How long who wants a new lock waits for the other port to know of him.
const LEDGER_TIME: Duration = Duration::from_secs(10);
/// Blocks fetched at once: 64 MiB in memory.
const FILLS_MAX: usize = 64;

/// Why a port did not start: one line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A secret or key.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The state directory.
    #[error(
        "state directory {path}: {error}; it must be a directory that the port may write to (`dir` of [state])"
    )]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another port has it.
    #[error(
        "state directory {0} is in use by another storage port: stop that one, or give this one another `dir`"
    )]
    Locked(PathBuf),
    /// The control socket.
    #[error(
        "cannot listen for `reload` and `status` in the state directory {path}: {error} (`dir` of [state])"
    )]
    Control {
        /// The state directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The certificate authorities.
    #[error("cannot read {path}: {error} (`ca_file` of [center])")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The center's addresses.
    #[error("[center]: {0}")]
    Center(#[from] client::SettingsError),
    /// The journal.
    #[error("{0} (`dir` of [journal])")]
    Journal(#[from] JournalError),
    /// The addresses for clients.
    #[error("{0} (see [nfs])")]
    Bind(#[from] BindError),
    /// What is shared by CIFS.
    #[error(transparent)]
    Cifs(#[from] GatewayError),
    /// The certificates of the pair.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address for the other port's journal.
    #[error("cannot listen for the other port's journal on {address}: {error} (`listen` of [pair])")]
    Mirror {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// A port that was alone so far.
    #[error(
        "the journal has {files} files of the time before this port was one of a pair, which it would not keep: take \
         [pair] out, start the port, and wait until `status` tells of no files to upload"
    )]
    OwnWrites {
        /// How many.
        files: usize,
    },
    /// `config check --online`: the center does not do its part.
    #[error("customer {customer}: {error}")]
    Online {
        /// For whom.
        customer: CustomerId,
        /// Why.
        error: CenterError,
    },
}

type Center = Fenced<client::Center>;

/// The gateway, when it serves, and, unless that is another one's decision, its server that listens already.
type Cifs = (CifsGateway<Translator<Center>>, Duty, Option<cifs_gateway::Serving>);

/// A port that has opened everything it needs and serves nobody yet.
pub struct Port {
    server: Server,
    customers: HashMap<CustomerId, Arc<Customer<Center>>>,
    journal: Journal,
    uploader: Arc<Uploader<Center>>,
    translator: Arc<Translator<Center>>,
    state_dir: PathBuf,
    control: ControlSocket,
    reloader: Arc<Reloader>,
    paired: Option<(Arc<Paired>, TcpListener)>,
    blocks: DataCache<CenterError>,
    fetcher: Fetcher,
    pinner: Arc<Pinner<Center>>,
    cifs: Option<Cifs>,
    metrics: Option<SocketAddr>,
    status_page: Option<(config::StatusPage, Option<TlsAcceptor>, Option<PasswordHash>)>,
    journal_dir: PathBuf,
    traffic: Arc<Traffic>,
    throttle: Arc<Throttle>,
    /// Held as long as the port lives.
    _lock: File,
}

impl Port {
    /// Opens the state, the journal, the caches and the sockets, as `config` says, which was read from `path`. `samba` keeps Samba
    /// where the configuration wants it. Needs a tokio runtime; blocks on disks, but nobody is served yet.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn open(config: &Config, path: &Path, samba: Option<Kept>) -> Result<Self, StartError> {
        let exports = config
            .exports()
            .map_err(|same| ConfigError::Impossible { path: PathBuf::new(), message: same.to_string() })?;
        let centers = centers(config)?;
        let (tls, password) = (config.page_tls()?, config.password_hash()?);
        let state_dir = config.state.dir.clone();
        let lock = lock_state(&state_dir)?;
        let control = control::socket::bind(&state_dir)
            .map_err(|error| StartError::Control { path: state_dir.clone(), error })?;
        // The sockets before the rest: if they are taken, another port may be using the other directories.
        let own_ledger = Arc::new(LockLedger::new(state_dir.join("lock_clients")));
        let role = Arc::<Role>::default();
        let safety = watch::Sender::new(Safety::default());
        let shared_ledger = SharedLedger::new(Arc::clone(&own_ledger), safety.subscribe(), LEDGER_TIME);
        let shared_ledger = Arc::new(shared_ledger);
        let (turn, ledger): (_, Arc<dyn Ledger>) = match &config.pair {
            Some(_) => {
                let turn = Turn { duty: role.duty(), safety: Some(safety.subscribe()) };
                (turn, Arc::clone(&shared_ledger) as _)
            }
            None => (Turn::default(), Arc::clone(&own_ledger) as _),
        };
        let duty = turn.duty.clone();
        let server = Server::bind(config.server(ledger, duty.clone())).await?;
        let mirror = match &config.pair {
            Some(pair) => Some((pair, Identity::load(pair)?, listen(pair.listen).await?)),
            None => None,
        };
        let (key, cifs_key) = match config.pair_key()? {
            Some(key) => (HandleKey::of_pair(&key), key),
            None => {
                let key = read_or_make_key(&state_dir.join(HANDLE_KEY), host::random())?;
                (HandleKey::new(key), key.to_vec())
            }
        };
        let (journal, recovery) =
            Journal::open(journal::Settings::new(config.journal.dir.clone(), config.journal.bytes))?;
        for damage in &recovery.damage {
            tracing::error!("the journal is damaged: {damage}");
        }
        if recovery.files > 0 {
            tracing::info!(
                files = recovery.files,
                records = recovery.records,
                "writes to upload since the last run"
            );
        }
        let blocks = DataCache::open(data_cache_settings(config));
        let directory = directory_cache::Settings {
            entries_max: config.cache.directory_entries,
            believe: Duration::from_secs(config.cache.believe_seconds),
        };
        let traffic = Arc::<Traffic>::default();
        let throttle = Arc::new(Throttle::new(config.wan.schedule(), host::minute_of_day));
        let mut rules = config.folder_rules();
        let customers: HashMap<_, _> = centers
            .into_iter()
            .map(|(id, secret, center)| {
                let center = Arc::new(Fenced::new(
                    center,
                    Arc::clone(&role),
                    Arc::clone(&traffic),
                    Arc::clone(&throttle),
                ));
                let directory = Arc::new(Directory::new(Arc::clone(&center), id, directory));
                directory.load(&snapshot_path(&state_dir, id));
                let objects = Objects::new(blocks.clone(), Arc::clone(&center), Arc::clone(&directory));
                let customer = Customer::new(id, secret, center, directory, objects);
                customer.set_rules(rules.remove(&id).unwrap_or_default());
                (id, Arc::new(customer))
            })
            .collect();
        let uploader = Uploader::new(journal.clone(), customers.clone(), config.upload.quiet(), duty.clone());
        let translator = Translator::new(
            exports,
            customers.clone(),
            journal.clone(),
            Arc::clone(&uploader),
            key,
            host::random(),
            turn,
        );
        let translator = Arc::new(translator);
        let fetcher = Fetcher::new(blocks.clone());
        let pinner = Pinner::open(pins::Parts {
            list: state_dir.join(PINS),
            rows_max: config.cache.directory_entries.get() / PINNED_ROWS_SHARE,
            translator: Arc::clone(&translator),
            customers: customers.clone(),
            blocks: blocks.clone(),
            fetcher: fetcher.clone(),
        });
        let cifs = match &config.cifs {
            Some(cifs) => {
                let exports = translator.current_exports();
                let (kept, filesystem) = (samba.map(Arc::new), Arc::clone(&translator));
                let gateway = CifsGateway::prepare(cifs, &exports, &cifs_key, filesystem, kept).await?;
                // Of a pair, the port on duty listens alone; else an address that is taken is told at once.
                let server = match &config.pair {
                    Some(_) => None,
                    None => Some(gateway.promote().await?),
                };
                Some((gateway, duty, server))
            }
            None => None,
        };
        let paired = match mirror {
            Some((pair, identity, listener)) => {
                let mark = Mark::new(config.journal.dir.join("whole"));
                let failed = |error| StartError::State { path: config.journal.dir.clone(), error };
                if !mark.exists() {
                    if recovery.files > 0 {
                        return Err(StartError::OwnWrites { files: recovery.files });
                    }
                    mark.store(NEVER).map_err(failed)?;
                }
                let impossible =
                    |what: &str| ConfigError::Impossible { path: path.to_owned(), message: what.into() };
                let (name, register_name) = pair.names().ok_or_else(|| impossible("[pair] name"))?;
                let first = config.customer.first().and_then(|first| customers.get(&CustomerId(first.id)));
                let center = Arc::clone(&first.ok_or_else(|| impossible("no [[customer]]"))?.center);
                let nfs = server.addresses().nfs.first().copied().unwrap_or(config.nfs.listen);
                let mirror = Mirror::new(
                    mirror::Settings::from(pair),
                    mirror::Parts {
                        identity,
                        journal: journal.clone(),
                        role: Arc::clone(&role),
                        safety,
                        register: CenterRegister::new(center, register_name, pair.member),
                        mark,
                        own_ledger,
                        ledger: shared_ledger,
                    },
                )
                .map_err(failed)?;
                let parts = pair::Parts {
                    role,
                    translator: Arc::clone(&translator),
                    uploader: Arc::clone(&uploader),
                    journal: journal.clone(),
                    mirror: Arc::new(mirror),
                    customers: customers.clone(),
                };
                Some((Paired::new(name, parts, nfs), listener))
            }
            None => None,
        };
        let reloader =
            Reloader::new(path.to_owned(), config.clone(), customers.clone(), Arc::clone(&translator));
        Ok(Self {
            server,
            customers,
            journal,
            uploader,
            translator,
            state_dir,
            control,
            reloader: Arc::new(reloader),
            paired,
            blocks,
            fetcher,
            pinner: Arc::new(pinner),
            cifs,
            metrics: config.metrics.map(|metrics| metrics.listen),
            status_page: config.status_page.clone().map(|page| (page, tls, password)),
            journal_dir: config.journal.dir.clone(),
            traffic,
            throttle,
            _lock: lock,
        })
    }

    /// What takes changes of the configuration while the port serves.
    pub fn reloader(&self) -> Arc<Reloader> {
        Arc::clone(&self.reloader)
    }

    /// Serves clients until `shutdown`; then makes durable what was taken, uploads for a while, and saves what is known.
    /// `ready` is told where clients are served; `events` are shown on the status page.
    ///
    /// # Errors
    /// The journal's disk has failed, and there is another port to take over: this one has ended by itself.
    pub async fn serve(
        self,
        events: EventLog,
        ready: impl FnOnce(&Addresses),
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), JournalError> {
        let Self {
            server,
            customers,
            journal,
            uploader,
            translator,
            state_dir,
            control,
            reloader,
            paired,
            blocks,
            fetcher,
            pinner,
            cifs,
            metrics,
            status_page,
            journal_dir,
            traffic,
            throttle,
            _lock,
        } = self;
        let directories: Directories<_> =
            customers.values().map(|customer| (customer.id, Arc::clone(&customer.directory))).collect();
        let mut tasks = JoinSet::new();
        for (_, directory) in &directories {
            let directory = Arc::clone(directory);
            tasks.spawn(async move { directory.follow().await });
        }
        tasks.spawn(Arc::clone(&uploader).run());
        tasks.spawn(save_at_intervals(directories.clone(), state_dir.clone()));
        let cifs_attendance = cifs.as_ref().map(|(gateway, _, _)| gateway.attendance());
        let sources = status::Sources {
            since: Instant::now(),
            translator: Arc::clone(&translator),
            customers: customers.clone(),
            journal: journal.clone(),
            traffic,
            throttle,
            pair: paired.as_ref().map(|(paired, _)| {
                let paired = Arc::clone(paired);
                Arc::new(move || paired.status()) as Arc<dyn Fn() -> PairStatus + Send + Sync>
            }),
            cifs: cifs_attendance.clone(),
        };
        let sources = Arc::new(sources);
        if let Some(address) = metrics {
            let exposed = exposition::Sources {
                status: Arc::clone(&sources),
                blocks: blocks.clone(),
                attendance: server.attendance(),
                journal: journal.clone(),
                journal_dir,
                uploader: Arc::clone(&uploader),
                translator: Arc::clone(&translator),
                since: host::now(),
            };
            tasks.spawn(metrics::server::serve(address, move || {
                let page = exposed.page(Instant::now(), host::now());
                async move { Ok(page) }
            }));
        }
        let mut operations = operations(reloader, sources);
        let warmer = Arc::new(Warmer::new(Arc::clone(&translator), blocks.clone(), fetcher));
        operations.add_task("cache-warm", move |order| warmer.begin(order));
        add_pins(&mut operations, &pinner);
        let dropped = Arc::clone(&pinner);
        tasks.spawn(pinner.run());
        let refill = move || dropped.look_again();
        let attendance = server.attendance();
        let clients = move || inspection::clients(&attendance, cifs_attendance.as_deref(), Instant::now());
        let owed = (journal.clone(), Arc::clone(&uploader));
        let owed = move || inspection::journal(&owed.0, owed.1.longest_delay(), host::now());
        add_inspections(&mut operations, blocks, clients, owed, refill);
        let queue = (journal.clone(), Arc::clone(&uploader), customers.clone());
        operations.add("uploads", move |_| {
            let (journal, uploader, customers) = &queue;
            let report = upload_queue::gather(journal, uploader, customers, host::now(), Instant::now());
            async move { to_value(report) }
        });
        let paired = paired.map(|(paired, listener)| {
            paired.add_operations(&mut operations);
            tasks.spawn(Arc::clone(&paired).run(listener));
            paired
        });
        let operations = Arc::new(operations);
        if let Some((config::StatusPage { listen, judge_state_dir, .. }, tls, password)) = status_page {
            let parts = status_page::Parts {
                listen,
                tls,
                judge: judge_state_dir,
                operations: Arc::clone(&operations),
                events,
                password,
            };
            tasks.spawn(StatusPage::new(parts).run());
        }
        tasks.spawn(control::socket::serve(control, operations));
        let cifs = cifs.map(|(gateway, duty, server)| tokio::spawn(gateway.run(duty, server)));
        let contact = async {
            for (_, directory) in &directories {
                directory.reachable().await;
            }
        };
        let stopping = paired.clone();
        let failing = journal.clone();
        let shutdown = async move {
            tokio::select! {
                () = shutdown => {}
                error = failing.failed(), if stopping.is_some() => {
                    tracing::error!("{error}; the port ends, so that the other one takes over");
                }
            }
            // The other port takes over the sooner the sooner this one is silent.
            if let Some(paired) = stopping {
                paired.retire();
            }
        };
        tokio::pin!(shutdown);
        let is_stopped = tokio::select! {
            // Without an answer the port serves what it knows; the feed has said so.
            _ = tokio::time::timeout(FIRST_CONTACT, contact) => false,
            () = &mut shutdown => true,
        };
        if !is_stopped {
            ready(server.addresses());
            server.serve(translator, shutdown).await;
        }
        if let Some(cifs) = cifs {
            cifs.abort();
            // Its end is what was wanted.
            let _ = cifs.await;
        }
        if let Err(error) = journal.sync_all().await {
            tracing::error!("{error}");
        }
        if paired.is_none() {
            uploader.drain(LAST_UPLOADS).await;
        }
        let is_paired = paired.is_some();
        tasks.shutdown().await;
        save_all(directories, state_dir).await;
        if is_paired { journal.check() } else { Ok(()) }
    }
}

/// What the control socket answers.
fn operations<C: StorageCenter>(reloader: Arc<Reloader>, sources: Arc<status::Sources<C>>) -> Operations {
    let mut operations = Operations::default();
    operations.add("reload", move |arguments| {
        let reloader = Arc::clone(&reloader);
        async move {
            if let Some(asked) = arguments.get("config").and_then(Value::as_str)
                && !reloader.is_of(Path::new(asked))
            {
                let own = reloader.path().display();
                return Err(format!("this port was started with {own}, not with {asked}: name that file"));
            }
            to_value(reloader.run().await?)
        }
    });
    operations.add("status", move |_| {
        let status = sources.status(Instant::now());
        async move { to_value(status) }
    });
    operations
}

/// What is kept in the data cache, as operators want it.
fn add_pins<C: StorageCenter>(operations: &mut Operations, pinner: &Arc<Pinner<C>>) {
    let by = Arc::clone(pinner);
    operations.add_task("cache-pin", move |arguments| by.begin(&arguments));
    let by = Arc::clone(pinner);
    operations.add("cache-unpin", move |arguments| {
        let pinner = Arc::clone(&by);
        async move { to_value(pinner.unpin(&arguments).await?) }
    });
    let by = Arc::clone(pinner);
    operations.add("cache-pins", move |_| {
        let report = by.report();
        async move { to_value(report) }
    });
}

/// What is told of the port's insides: asks nobody but this process. What is pinned comes back by `refill` after the cache was
/// emptied.
fn add_inspections(
    operations: &mut Operations,
    blocks: DataCache<CenterError>,
    clients: impl Fn() -> ClientsReport + Send + Sync + 'static,
    journal: impl Fn() -> JournalReport + Send + Sync + 'static,
    refill: impl Fn() + Send + Sync + 'static,
) {
    let (dropped, refill) = (blocks.clone(), Arc::new(refill));
    operations.add("cache", move |_| {
        let report = inspection::cache(&blocks);
        async move { to_value(report) }
    });
    operations.add("cache-drop", move |_| {
        let (blocks, refill) = (dropped.clone(), Arc::clone(&refill));
        async move {
            let dropped = inspection::drop_cache(&blocks).await;
            refill();
            tracing::info!(bytes = dropped.bytes, "the data cache was emptied, as an operator wanted");
            to_value(dropped)
        }
    });
    operations.add("clients", move |_| {
        let report = clients();
        async move { to_value(report) }
    });
    operations.add("journal", move |_| {
        let report = journal();
        async move { to_value(report) }
    });
}

fn to_value(answer: impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}

type Directories<C> = Vec<(CustomerId, Arc<Directory<C>>)>;

/// Tries whether the center answers and accepts every customer's secret (`config check --online`).
///
/// # Errors
/// The first customer for whom it does not.
pub async fn check_online(config: &Config) -> Result<(), StartError> {
    use protocol::vfs::{Operation, Request};
    for (customer, _, center) in centers(config)? {
        let opened =
            StorageCenter::operate(&center, Request { key: None, operation: Operation::OpenRoot }).await;
        opened.map_err(|error| StartError::Online { customer, error })?;
    }
    Ok(())
}

/// Looks whether a port could be started: secrets, addresses and authorities. Asks nobody, and gives the secrets it
/// has read.
///
/// # Errors
/// What [`Port::open`] would refuse.
pub fn check(config: &Config) -> Result<Vec<(CustomerId, Secret)>, StartError> {
    config.password_hash()?;
    config.page_tls()?;
    cifs_gateway::check(config)?;
    Ok(centers(config)?.into_iter().map(|(customer, secret, _)| (customer, secret)).collect())
}

type Access = (CustomerId, Secret, client::Center);

fn centers(config: &Config) -> Result<Vec<Access>, StartError> {
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|error| StartError::Authorities { path: path.clone(), error })
    };
    let authorities = config.center.ca_file.as_ref().map(read).transpose()?;
    let secrets = config.secrets()?;
    let access = secrets.into_iter().map(|(customer, secret)| {
        let (ddm, dosm) = (config.center.ddm.clone(), config.center.dosm.clone());
        let center = client::Center::new(client::Settings {
            deadline: config.deadline(),
            ca_certificates: authorities.clone(),
            ..client::Settings::new(ddm, dosm, customer, secret.clone())
        })?;
        Ok((customer, secret, center))
    });
    access.collect()
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|error| StartError::Mirror { address, error })
}

fn lock_state(dir: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::State { path: dir.to_owned(), error };
    fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::create(dir.join("lock")).map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::Locked(dir.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

fn data_cache_settings(config: &Config) -> data_cache::Settings {
    let disk = |disk: &crate::config::CacheDisk| data_cache::DiskSettings {
        path: disk.path.clone(),
        bytes_max: disk.bytes,
    };
    data_cache::Settings {
        disks: config.cache.disk.iter().map(disk).collect(),
        open_files_max: OPEN_FILES_MAX,
        entries_max: BLOCKS_MAX,
        fills_max: FILLS_MAX,
        pinned_share: config.cache.pinned_share,
    }
}

fn snapshot_path(state_dir: &Path, customer: CustomerId) -> PathBuf {
    state_dir.join(format!("directory-{customer}.snapshot"))
}

async fn save_at_intervals<C: StorageCenter>(directories: Directories<C>, state_dir: PathBuf) {
    let mut pause = SNAPSHOT_EVERY_MIN;
    loop {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        save_all(directories.clone(), state_dir.clone()).await;
        pause = SNAPSHOT_EVERY_MIN.max(begun.elapsed() * SNAPSHOT_SHARE);
    }
}

async fn save_all<C: StorageCenter>(directories: Directories<C>, state_dir: PathBuf) {
    let save = move || {
        for (customer, directory) in directories {
            let path = snapshot_path(&state_dir, customer);
            if let Err(error) = directory.save(&path) {
                tracing::warn!("cannot save what is known of the directory to {}: {error}", path.display());
            }
        }
    };
    if tokio::task::spawn_blocking(save).await.is_err() {
        tracing::warn!("the directory cache was not saved");
    }
}
