//! Putting the daemon together from its configuration, and taking it apart in good order.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use client::{Center, SettingsError};
use control::message::Request;
use control::socket;
use ipnetwork::IpNetwork;
use protocol::id::CustomerId;
use protocol::pair::PairName;
use protocol::srl::{Secret, SecretTooShort};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::center::{Asked, Witness};
use super::clients::{IsActive, list_clients};
use super::exposition;
use super::ground::Ground;
use super::judge::Judge;
use super::kernel::Kernel;
use super::mailbox::{Mailbox, News, mailbox};
use super::memory::Memory;
use super::operations::{ask, operations};
use super::port::{Rhythm, Role, command_port, watch_port};
use super::turns::{self, Senses};
use crate::config::{Config, SecretError, Timers};
use crate::health::sample::Nic;
use crate::health::watch::{PortProcess, Watch};
use crate::machine::Machine;
use crate::machine::event::Order;
use crate::machine::settings::{Settings, Unsafe};
use crate::net::addresses::AddressError;
use crate::net::clock::{self, Alarm};
use crate::net::fence::FenceError;
use crate::net::link::{LinkError, Links};
use crate::net::realtime;
use crate::net::sockets::SocketsError;
use crate::net::watchdog::WatchdogError;
use crate::wire::{KeyTooShort, Seal};

/// Questions to the center that wait to be asked; the judge has one or two.
const QUESTIONS_MAX: usize = 16;
/// Longest handing over at the end, and longest wait for the port to hear that it is passive.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Threads that talk: while one waits for a name, the other listens to the port.
const THREADS: usize = 2;

/// Why the daemon does not run, or no longer: one line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key or secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The pair's key.
    #[error("[pair] key_file: {0}")]
    Key(#[from] KeyTooShort),
    /// The customer's secret.
    #[error("[center] secret_file: {0}")]
    CustomerSecret(#[from] SecretTooShort),
    /// A name that the center would not take.
    #[error("[pair] name `{0}`: 1 to 64 characters of a-z, 0-9 and -")]
    Name(String),
    /// A file that cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another judge runs.
    #[error("another port-failover uses {0}: end it first, or give this one a [state] dir of its own")]
    Locked(PathBuf),
    /// By what the center is asked.
    #[error("[center]: {0}")]
    Center(#[from] SettingsError),
    /// A NIC.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The fence.
    #[error(transparent)]
    Fence(#[from] FenceError),
    /// Addresses that an earlier judge left.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Connections that an earlier judge left.
    #[error(transparent)]
    Sockets(#[from] SocketsError),
    /// The hardware watchdog.
    #[error(transparent)]
    Watchdog(#[from] WatchdogError),
    /// Timers that would not be safe.
    #[error("[timers]: {0}")]
    Unsafe(#[from] Unsafe),
    /// A way to the peer.
    #[error("[{table}] listen: {error}; is the interface right, and does no other program use the address?")]
    Path {
        /// `heartbeat` or `lan`.
        table: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The kernel gives no threads, descriptors or packet sockets.
    #[error("the judge cannot work: {0}; it needs root, or CAP_NET_ADMIN and CAP_NET_RAW")]
    Kernel(#[from] io::Error),
    /// A defect of this program.
    #[error("the judge's thread has ended by itself: see the log above")]
    Died,
}

/// Whether everything is there that a judge needs of files; the network is not looked at.
///
/// # Errors
/// See [`StartError`].
pub fn check(config: &Config) -> Result<(), StartError> {
    settings(config, true).check()?;
    seal(config)?;
    witness(config).map(drop)
}

/// Judges until what `stop` gives is ready, then hands over or releases. `ready` is called when the judge is at work.
///
/// # Errors
/// See [`StartError`].
pub fn run<S: Future<Output = ()>>(
    config: &Config,
    ready: impl FnOnce(),
    stop: impl FnOnce() -> io::Result<S>,
) -> Result<(), StartError> {
    let state_dir = &config.state.dir;
    let failed_at = |path: PathBuf| move |error| StartError::File { path, error };
    fs::create_dir_all(state_dir).map_err(failed_at(state_dir.clone()))?;
    let _lock = lock(state_dir)?;
    let mut links = Links::new()?;
    // Before anything else: what an earlier judge left may be another's by now.
    let ground = Ground::clear(config, &mut links)?;
    let settings = settings(config, ground.has_fence());
    settings.check()?;
    let seal = seal(config)?;
    let memory = Memory::new(state_dir);
    let remembered = memory.recall().map_err(failed_at(state_dir.join("generation")))?;

    if let Err(error) = realtime::stay_in_memory() {
        tracing::warn!("{error}");
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("talk")
        .on_thread_start(go_first)
        .enable_all()
        .build()?;
    let stop = {
        let _inside = runtime.enter();
        stop()?
    };
    let (mailbox, inbox) = mailbox()?;
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let (roles, wanted) = watch::channel(None);
    let process = PortProcess::default();
    let is_active = IsActive::default();
    talk(&runtime, config, &mailbox, Talks { asked, wanted, process: Arc::clone(&process) })?;
    let nics = nics(config);
    let report = mailbox.clone();
    let _watch =
        Watch::start(&config.health, nics.clone(), process, move |sample| report.post(News::Sample(sample)))?;
    let _lister = list(config, Arc::clone(&is_active), mailbox.clone())?;

    let now = clock::now();
    let probe_span = settings.probe;
    let machine = Machine::new(settings, boot_nonce(), remembered, now);
    let hands = ground.hands(config, seal, memory, questions, roles)?;
    let judge = Judge::new(config, machine, probe_span, hands, now);
    let senses = Senses { inbox, links, nics, alarm: Alarm::new()?, is_active };
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("judge".into()).spawn(move || {
        go_first();
        // Nobody has gone: the receiver is waited for below.
        let _ = ended.send(turns::run(judge, senses));
    })?;
    if let Some(metrics) = &config.metrics {
        exposition::start(metrics.listen, mailbox.clone())?;
    }
    ready();
    let hands = runtime.block_on(until_stopped(&mailbox, end, stop))?;
    hands.close();
    runtime.block_on(leave_port_passive(config));
    runtime.shutdown_background();
    Ok(())
}

/// What the talking threads need.
struct Talks {
    asked: mpsc::Receiver<Asked>,
    wanted: watch::Receiver<Option<Role>>,
    process: PortProcess,
}

/// Begins to talk to the center, the port, and operators.
fn talk(runtime: &Runtime, config: &Config, mailbox: &Mailbox, talks: Talks) -> Result<(), StartError> {
    let state_dir = &config.state.dir;
    let witness = witness(config)?;
    let _inside = runtime.enter();
    let socket =
        socket::bind(state_dir).map_err(|error| StartError::File { path: state_dir.clone(), error })?;
    tokio::spawn(socket::serve(socket, Arc::new(operations(mailbox))));
    tokio::spawn(witness.clone().answer(talks.asked, mailbox.clone()));
    tokio::spawn(witness.ping(mailbox.clone()));
    let port_dir = &config.port.state_dir;
    tokio::spawn(watch_port(port_dir.clone(), rhythm(&config.timers), talks.process, mailbox.clone()));
    tokio::spawn(command_port(port_dir.clone(), talks.wanted));
    Ok(())
}

fn seal(config: &Config) -> Result<Seal, StartError> {
    let (key, old_key) = config.pair_keys()?;
    Ok(Seal::new(&config.pair.name, config.pair.member, &key, old_key.as_deref())?)
}

fn witness(config: &Config) -> Result<Witness, StartError> {
    let name = &config.pair.name;
    let secret = Secret::new(config.customer_secret()?)?;
    let ddm = config.center.ddm.clone();
    // The judge stores no objects; there must be some manager of them to name.
    let mut settings = client::Settings::new(ddm.clone(), ddm, CustomerId(config.center.customer), secret);
    settings.connect_timeout = config.timers.center_lease();
    settings.ca_certificates = match &config.center.ca_file {
        Some(path) => Some(fs::read(path).map_err(|error| StartError::File { path: path.clone(), error })?),
        None => None,
    };
    Ok(Witness {
        center: Center::new(settings)?,
        pair: PairName::parse(name).ok_or_else(|| StartError::Name(name.clone()))?,
        member: config.pair.member,
    })
}

/// Begins to list the clients' connections; it ends when the sender is dropped.
fn list(config: &Config, is_active: IsActive, mailbox: Mailbox) -> io::Result<Sender<()>> {
    let floating: Vec<IpAddr> = config.lan.addresses.iter().map(IpNetwork::ip).collect();
    let ports = config.port.client_ports();
    let (list_on, stopped) = channel();
    thread::Builder::new().name("clients".into()).spawn(move || {
        if let Err(error) = list_clients(&floating, &ports, &is_active, &stopped, &mailbox) {
            tracing::error!("the clients' connections cannot be listed: {error}");
        }
    })?;
    Ok(list_on)
}

/// The judge's hands, once it has stopped.
async fn until_stopped(
    mailbox: &Mailbox,
    mut end: oneshot::Receiver<io::Result<Kernel>>,
    stop: impl Future<Output = ()>,
) -> Result<Kernel, StartError> {
    let died = |_| StartError::Died;
    tokio::select! {
        end = &mut end => return Ok(end.map_err(died)??),
        () = stop => {}
    }
    tracing::info!("stopping");
    match timeout(LAST_WORDS, ask(mailbox, |answer| News::Order(Order::Stop, answer))).await {
        Ok(Ok(Ok(said))) => tracing::info!("{said}"),
        Ok(Ok(Err(why)) | Err(why)) => tracing::warn!("{why}"),
        Err(_) => tracing::warn!("the judge does not end: its lease will"),
    }
    Ok(timeout(LAST_WORDS, end).await.map_err(|_| StartError::Died)?.map_err(died)??)
}

/// Also if the judge's last order to it was lost: nobody commands it now.
async fn leave_port_passive(config: &Config) {
    let order = Request::new("pair", serde_json::to_value(Role::Passive).unwrap_or_default());
    let told = socket::ask("storage port", &config.port.state_dir, &order);
    if let Ok(Err(error)) = timeout(LAST_WORDS, told).await {
        tracing::info!("the port was not told that it is passive: {error}");
    }
}

fn lock(state_dir: &Path) -> Result<File, StartError> {
    let path = state_dir.join("lock");
    let failed = |error| StartError::File { path: path.clone(), error };
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(state_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn settings(config: &Config, fence: bool) -> Settings {
    let timers = &config.timers;
    Settings {
        lease: timers.lease(),
        query: timers.query(),
        center_lease: timers.center_lease(),
        wan_patience: timers.wan_lost(),
        hold_down: timers.hold_down(),
        hold_down_max: timers.hold_down_max(),
        misses_max: rhythm(timers).periods_max,
        threshold: config.health.threshold,
        fence,
        ..Settings::new(config.pair.member)
    }
}

/// So many misses are the silence that counts. It begins with the last answer, so before the first of them a period has
/// passed already.
fn rhythm(timers: &Timers) -> Rhythm {
    let periods = timers.service_silent_ms.div_ceil(timers.service_probe_ms.max(1));
    Rhythm { period: timers.service_probe(), periods_max: periods.saturating_sub(1).max(1) }
}

fn nics(config: &Config) -> [(Nic, String); 3] {
    [
        (Nic::Heartbeat, config.heartbeat.interface.clone()),
        (Nic::Lan, config.lan.interface.clone()),
        (Nic::Wan, config.wan.interface.clone()),
    ]
}

/// Lets the calling thread go first. Told once if it may not: what is refused to one is refused to all.
fn go_first() {
    static TOLD: Once = Once::new();
    if let Err(error) = realtime::go_first() {
        TOLD.call_once(|| tracing::warn!("{error}"));
    }
}

/// Another one at each start.
#[allow(clippy::disallowed_methods, reason = "the judge's one source of randomness")]
fn boot_nonce() -> u64 {
    rand::random()
}
