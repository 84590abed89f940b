//! One of several processes of a storage center: the parts it plays, joined with the others by DOSP.

use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics::Kind;
use page_server::page::event_log::EventLog;
use protocol::dosp::ClusterKey;
use protocol::dosp::heartbeat::{Heartbeat, NodeState, Roles};
use protocol::dosp::operations::{self as op, DrainIn};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{
    Addresses, Listening, Running, ServeError, beside, close_unused, collect, compare, drain_of, listen,
    open_cache, open_directory, scrub, serve_operators, settings, traffic, usage_log,
};
use crate::cluster::beacon::{self, Beacon};
use crate::cluster::centers::HERE;
use crate::cluster::daemon::{self, Registry};
use crate::cluster::directory::{self, ClusterDirectory};
use crate::cluster::elsewhere;
use crate::cluster::link::Links;
use crate::cluster::mirror::forward::MirroredDirectory;
use crate::cluster::mirror::{self, Desk};
use crate::cluster::node::NodeDaemon;
use crate::cluster::node_operations::{register_common, register_node};
use crate::cluster::objects::ClusterObjects;
use crate::cluster::references::ClusterReferences;
use crate::cluster::repair::Repair;
use crate::cluster::session::Credentials;
use crate::cluster::status::gather;
use crate::cluster::transport::Identity;
use crate::cluster::view::{Own, View};
use crate::config::{Cluster as ClusterConfig, Config, NotHere, Role};
use crate::control::{Answer, Answering, Question, check};
use crate::dosm::cache::Cache;
use crate::dosm::{Authenticator, Callbacks, Directory, ObjectManager};
use crate::exposition::{self, Exposition};
use crate::health::Health;
use crate::host;
use crate::isn::Isn;
use crate::local::LocalDirectory;
use crate::outbound::Getter;
use crate::reconcile::{Mode, reconcile};
use crate::router::Router;
use crate::vfs::{DirectoryManager, KnownNode, MetaStore, keep_house};
use crate::witness::{self, Witness};

/// How often the directory manager looks for new nodes and for nodes that lost their references.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Longest time for the node to mark its disks.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);

/// What the parts of this process share.
struct Process<'a> {
    config: &'a Config,
    copies: NonZeroUsize,
    view: View,
    registry: Registry,
    tasks: TaskTracker,
    draining: CancellationToken,
    stop: CancellationToken,
    /// Seconds that something no row refers to is kept.
    orphan_grace: u64,
    events: EventLog,
}

pub(super) async fn start(
    config: &Config,
    cluster: &ClusterConfig,
    events: EventLog,
) -> Result<Running, ServeError> {
    // Addresses first: a second process of the same configuration ends here and touches nothing.
    let listening = match &config.http {
        Some(http) => Some(Listening::open(http).await?),
        None => None,
    };
    let (listener, address) = listen(cluster.listen).await?;
    let key = read_key(&cluster.key_file)?;
    let name = cluster.name(config.isn.as_ref());
    let node = cluster.node(config.isn.as_ref()).ok_or(NotHere("numbered: give cluster.node"))?;
    let roles =
        Roles { ddm: config.plays(Role::Ddm), dosm: config.plays(Role::Dosm), isn: config.plays(Role::Isn) };
    let own = Own { node, roles, address };
    let identity = match &config.mirror {
        Some(mirror) => Some(Identity::load(mirror)?),
        None => None,
    };
    let credentials = Credentials::new(&key, &name).with_identity(identity);
    let boot = u64::try_from(host::now().0).unwrap_or(0);
    let settings =
        beacon::Settings { listen: address, multicast: cluster.multicast, peers: cluster.peers.clone() };
    let beacon = Beacon::open(settings, key.datagram_key(&name), node, boot);
    let beacon = beacon.map_err(|error| ServeError::Listen { address, error })?;
    let links = Links::new(credentials.clone());
    let view = View::new(own, links, beacon, config.dosm.lookup_entries);
    let orphan_grace = config.isn.as_ref().map_or(86_400, |isn| isn.orphan_grace_seconds);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut process = Process {
        config,
        copies: cluster.copies,
        view,
        registry: Registry::default(),
        tasks,
        draining: CancellationToken::new(),
        stop,
        orphan_grace,
        events,
    };

    process.watch_elsewhere();
    let isn = process.start_node().await?;
    let node = process.common(own, isn);
    process.start_witness()?;
    let vfs = process.start_directory().await?;
    let addresses = Addresses {
        http: listening.as_ref().map(|listening| listening.addresses.clone()).unwrap_or_default(),
        dosp: Some(address),
    };
    match (vfs, listening) {
        (Some(vfs), listening) => {
            let directory = Arc::clone(&vfs.directory);
            process.answer(Some((vfs.store.clone(), vfs.desk.clone())))?;
            process.route(listening, &node, directory, Some(vfs.manager), vfs.desk).await?;
        }
        (None, listening) => {
            let directory = Arc::new(ClusterDirectory::new(process.view.clone()));
            process.answer(None)?;
            process.route(listening, &node, directory, None, None).await?;
        }
    }
    let Process { view, registry, tasks, draining, stop, .. } = process;
    tasks.spawn(daemon::serve(listener, credentials, Arc::new(registry), stop.clone()));
    let watched = Arc::clone(&node);
    beside(&tasks, &stop, async move { watched.watch_disks().await });
    tasks.spawn(beacon::run(view, node, stop.clone()));
    Ok(Running { addresses, draining, drain: drain_of(config), stop, tasks })
}

/// The directory manager's parts.
struct DirectoryParts {
    store: MetaStore,
    manager: Arc<DirectoryManager<ClusterReferences>>,
    directory: Arc<MirroredDirectory<LocalDirectory<ClusterReferences>>>,
    desk: Option<Desk>,
}

impl Process<'_> {
    fn objects(&self) -> ClusterObjects {
        let order = self.config.dosm.order;
        ClusterObjects::new(self.view.clone(), order, self.copies.get(), host::generator())
    }

    /// Watches the other centers, and answers them.
    fn watch_elsewhere(&mut self) {
        let others = self.config.mirror.iter().flat_map(|mirror| &mirror.others);
        for (center, other) in (HERE + 1..).zip(others) {
            beside(&self.tasks, &self.stop, elsewhere::watch(self.view.clone(), center, other.peers.clone()));
        }
        if self.config.mirror.is_some() {
            elsewhere::register(&mut self.registry, &self.view);
        }
    }

    async fn start_node(&mut self) -> Result<Option<Isn>, ServeError> {
        let Some(isn_config) = self.config.isn.as_ref().filter(|_| self.config.plays(Role::Isn)) else {
            return Ok(None);
        };
        let isn = Isn::open(settings(isn_config), host::generator(), host::now_seconds()).await?;
        register_node(&mut self.registry, &isn);
        beside(&self.tasks, &self.stop, collect(isn.clone()));
        beside(&self.tasks, &self.stop, scrub(isn.clone(), isn_config.scrub_days));
        Ok(Some(isn))
    }

    fn common(&mut self, own: Own, isn: Option<Isn>) -> Arc<NodeDaemon> {
        let repair = isn.clone().map(|isn| {
            let seconds = self.config.isn.as_ref().map_or(0, |isn| isn.replicate_after_seconds);
            Repair::new(isn, self.objects(), Duration::from_secs(seconds))
        });
        if let Some(repair) = &repair {
            repair.register(&mut self.registry);
            let (repair, stop) = (repair.clone(), self.stop.clone());
            self.tasks.spawn(async move { repair.run(stop).await });
        }
        let node = Arc::new(NodeDaemon::new(own, isn, repair, self.registry.load()));
        register_common(&mut self.registry, own, &node);
        node
    }

    fn start_witness(&mut self) -> Result<(), ServeError> {
        if let Some(config) = self.config.witness.as_ref().filter(|_| self.config.plays(Role::Witness)) {
            let path = config.state.clone();
            let witness = Witness::open(&path).map_err(|error| ServeError::Witness { path, error })?;
            witness::register(&mut self.registry, &Arc::new(witness));
        }
        Ok(())
    }

    async fn start_directory(&mut self) -> Result<Option<DirectoryParts>, ServeError> {
        if !self.config.plays(Role::Ddm) {
            return Ok(None);
        }
        let store = open_directory(self.config).await?;
        for KnownNode { number, address } in store.nodes().await? {
            self.view.remember(absent(number, address));
        }
        let references = ClusterReferences::new(self.view.clone(), self.copies.get());
        let desk = self.desk(&store);
        let mut manager = DirectoryManager::new(store.clone(), Arc::new(references.clone()));
        if let Some(desk) = &desk {
            manager = manager.beside(Arc::new(desk.clone()));
        }
        let manager = Arc::new(manager);
        let here = Arc::new(LocalDirectory::new(store.clone(), Arc::clone(&manager)));
        let directory = Arc::new(MirroredDirectory::new(here, desk.clone()));
        directory::register(&mut self.registry, &directory);
        if let Some(desk) = &desk {
            mirror::register(&mut self.registry, desk, &manager);
            self.tasks.spawn(desk.clone().run(self.stop.clone()));
        }
        beside(&self.tasks, &self.stop, store.clone().watch_access());
        let house = (store.clone(), references.clone());
        self.where_written(&desk, move || {
            let (store, references) = house.clone();
            async move { keep_house(store, &references, host::now).await }
        });
        let rows = (store.clone(), references.clone(), self.orphan_grace);
        self.where_written(&desk, move || compare(rows.0.clone(), rows.1.clone(), rows.2));
        let nodes = (self.view.clone(), store.clone(), references, self.orphan_grace);
        self.where_written(&desk, move || {
            watch_nodes(nodes.0.clone(), nodes.1.clone(), nodes.2.clone(), nodes.3)
        });
        Ok(Some(DirectoryParts { store, manager, directory, desk }))
    }

    /// Where the directory is mirrored: who deals with the other centers.
    fn desk(&self, store: &MetaStore) -> Option<Desk> {
        let centers = self.view.links().centers()?.clone();
        let witness = self.config.mirror.as_ref()?.witness.as_ref().map(|witness| witness.listen);
        Some(Desk::new(store.mirror()?.clone(), self.view.clone(), centers, witness))
    }

    /// Runs `work` beside the service while this process is the one that changes the directory.
    fn where_written<F: Future<Output = ()> + Send>(
        &self,
        desk: &Option<Desk>,
        work: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let desk = desk.clone();
        beside(&self.tasks, &self.stop, async move {
            match desk {
                Some(desk) => desk.while_writing(work).await,
                None => work().await,
            }
        });
    }

    fn answer(&self, vfs: Option<(MetaStore, Option<Desk>)>) -> Result<(), ServeError> {
        let references = ClusterReferences::new(self.view.clone(), self.copies.get());
        let (view, orphan_grace) = (self.view.clone(), self.orphan_grace);
        let answering: Answering = Arc::new(move |question| {
            let (vfs, references, view) = (vfs.clone(), references.clone(), view.clone());
            Box::pin(async move {
                match (question, vfs) {
                    (Question::Check { mode, orphan_grace: wanted }, Some((vfs, _))) => {
                        check(&vfs, &references, mode, wanted.unwrap_or(orphan_grace)).await
                    }
                    (Question::Forget { node }, Some((vfs, _))) => forget(&view, &vfs, node).await,
                    (Question::Check { .. } | Question::Forget { .. }, None) => {
                        Answer::failed("this process is no directory manager; ask one that is")
                    }
                    (Question::Mirror, Some((_, Some(desk)))) => mirror_status(&desk).await,
                    (Question::TakeOver { force }, Some((_, Some(desk)))) => {
                        match desk.take_over(force).await {
                            Ok(text) => Answer::done(text),
                            Err(reason) => Answer::failed(reason),
                        }
                    }
                    (Question::Mirror | Question::TakeOver { .. }, _) => Answer::failed(
                        "this process keeps no mirrored directory; ask a directory manager of [mirror]",
                    ),
                    (Question::Status, _) => match serde_json::to_string(&gather(&view).await) {
                        Ok(json) => Answer::done(json),
                        Err(error) => Answer::failed(error.to_string()),
                    },
                    (Question::Drain { disk, on }, _) => drain(&view, disk, on).await,
                }
            })
        });
        serve_operators(self.config, answering, self.events.clone(), &self.tasks, &self.stop)
    }

    async fn route<D: Directory>(
        &self,
        listening: Option<Listening>,
        node: &Arc<NodeDaemon>,
        directory: Arc<D>,
        manager: Option<Arc<DirectoryManager<ClusterReferences>>>,
        desk: Option<Desk>,
    ) -> Result<(), ServeError> {
        let Some(listening) = listening else { return Ok(()) };
        let authenticator = Arc::new(Authenticator::new(Arc::clone(&directory)));
        let listening_for_changes = Arc::clone(&authenticator);
        beside(&self.tasks, &self.stop, async move { listening_for_changes.listen(host::now_seconds).await });
        let getter = Getter::new()?;
        let (objects, traffic) = match self.config.plays(Role::Dosm) {
            true => {
                let traffic = traffic(self.config, &getter, &self.tasks, &self.stop);
                let objects = self.object_manager(directory, Arc::clone(&authenticator), getter).await?;
                (Some(objects), traffic)
            }
            false => (None, None),
        };
        let metrics =
            exposition(Arc::clone(node), self.view.clone(), objects.as_ref().map(ObjectManager::cache), desk);
        // A directory manager alone has rows to give.
        let (view, needs_nodes) = (self.view.clone(), objects.is_some());
        let health = Health::new(self.draining.clone(), move || !needs_nodes || view.gives_objects());
        let stop = self.stop.clone();
        let router = Router::new(manager, objects, authenticator, Some(metrics), health, traffic, stop);
        listening.serve(&Arc::new(router), &self.tasks, &self.stop);
        Ok(())
    }

    async fn object_manager<D: Directory>(
        &self,
        directory: Arc<D>,
        authenticator: Arc<Authenticator<D>>,
        getter: Getter,
    ) -> Result<ObjectManager<D, ClusterObjects>, ServeError> {
        let objects = self.objects();
        let cache = open_cache(self.config, objects.clone()).await;
        beside(&self.tasks, &self.stop, close_unused(cache.clone()));
        beside(&self.tasks, &self.stop, forget_deleted(self.view.clone(), cache.clone()));
        let callbacks =
            Callbacks::new(Arc::clone(&directory), self.config.dosm.callback_networks.clone(), getter);
        let usage = usage_log(self.config)?;
        Ok(ObjectManager::new(objects, cache, directory, authenticator, callbacks, usage))
    }
}

/// What the process shows at `/metrics`.
fn exposition(
    node: Arc<NodeDaemon>,
    view: View,
    cache: Option<Cache<ClusterObjects>>,
    desk: Option<Desk>,
) -> Exposition {
    Arc::new(move || {
        let (node, view, cache, desk) = (Arc::clone(&node), view.clone(), cache.clone(), desk.clone());
        Box::pin(async move {
            let known = view.objects_known() as u64;
            let page = exposition::node(exposition::page(), &node.status().await)
                .value(Kind::Gauge, "lookup_objects", "Objects whose places are known.", known)
                .histogram(
                    "locate_seconds",
                    "Time to find out where an object is that was not in the table.",
                    &view.locating().snapshot(),
                );
            let page = match desk {
                Some(desk) => desk.figures(page),
                None => page,
            };
            match cache.map(|cache| cache.figures()) {
                Some(figures) => exposition::cache(page, figures),
                None => page,
            }
            .into_text()
        })
    })
}

/// Takes back the cache's word on objects of which somebody gave up a reference (DOSM-19).
async fn forget_deleted(view: View, cache: Cache<ClusterObjects>) {
    let mut deletions = view.deletions();
    loop {
        match deletions.recv().await {
            Ok(fingerprint) => cache.forget(fingerprint),
            // What was missed is asked again within a minute.
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "invalidations came too fast"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// A node that is known from before and has not been heard of yet.
fn absent(node: u32, address: std::net::SocketAddr) -> Heartbeat {
    Heartbeat {
        node,
        roles: Roles { isn: true, ..Roles::default() },
        address,
        state: NodeState::Online,
        lost_references: false,
        ops_per_second: 0,
        outstanding: 0,
        disks: Vec::new(),
    }
}

/// Remembers nodes that come, and restores the references of those that lost them (REF-4).
async fn watch_nodes(view: View, store: MetaStore, references: ClusterReferences, orphan_grace: u64) {
    let mut known: Vec<KnownNode> = store.nodes().await.unwrap_or_default();
    let mut restored: Vec<u32> = Vec::new();
    loop {
        // Either is a reason to look.
        let _ = tokio::time::timeout(LOOK_EVERY, view.changed()).await;
        let nodes = view.nodes();
        for node in &nodes {
            let found = KnownNode { number: node.number, address: node.address };
            if known.contains(&found) {
                continue;
            }
            match store.remember_node(found).await {
                Ok(()) => {
                    known.retain(|known| known.number != found.number);
                    known.push(found);
                }
                Err(error) => tracing::warn!(node = found.number, %error, "a node is remembered later"),
            }
        }
        let lost = nodes.iter().filter(|node| node.heartbeat.lost_references);
        let lost: Vec<u32> = lost.map(|node| node.number).collect();
        restored.retain(|node| lost.contains(node));
        if lost.iter().all(|node| restored.contains(node)) {
            continue;
        }
        match reconcile(&store, &references, Mode::Repair, orphan_grace, host::now_seconds()).await {
            Ok(report) => {
                tracing::warn!(nodes = ?lost, restored = report.unheld, "references restored from the rows");
                restored = lost;
            }
            Err(error) => tracing::warn!(nodes = ?lost, error, "references are restored later"),
        }
    }
}

/// By the process's own handler, as any other process would be answered.
async fn drain(view: &View, disk: Option<u32>, on: bool) -> Answer {
    if !view.own().roles.isn {
        return Answer::failed("this process is no storage node; ask the one whose disks shall be emptied");
    }
    let asked =
        view.links().ask::<op::Drain>(view.own().address, &DrainIn { disk, on }, DRAIN_PATIENCE).await;
    match asked {
        Ok(()) if on => Answer::done("draining; `storage-center status` shows what is left"),
        Ok(()) => Answer::done("taking objects again"),
        Err(error) => Answer::failed(error.to_string()),
    }
}

async fn mirror_status(desk: &Desk) -> Answer {
    let status = desk.status().await.map_err(|error| error.to_string());
    match status.and_then(|status| serde_json::to_string(&status).map_err(|error| error.to_string())) {
        Ok(json) => Answer::done(json),
        Err(reason) => Answer::failed(reason),
    }
}

async fn forget(view: &View, vfs: &MetaStore, node: u32) -> Answer {
    let is_live =
        view.node(node).is_some_and(|node| node.condition != crate::cluster::members::Condition::Failed);
    if is_live {
        return Answer::failed(format!("storage node {node} is there; stop it first"));
    }
    match vfs.forget_node(node).await {
        Ok(()) => {
            view.forget(node);
            Answer::done(format!("storage node {node} is not waited for any more"))
        }
        Err(error) => Answer::failed(error.to_string()),
    }
}

/// Reads the cluster's key; refuses one that others may read.
fn read_key(path: &Path) -> Result<ClusterKey, ServeError> {
    let wrong = |reason: String| ServeError::Key { path: path.to_path_buf(), reason };
    let io = |error: io::Error| wrong(error.to_string());
    let mode = std::fs::metadata(path).map_err(io)?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others may read it (mode {:o}); chmod 600", mode & 0o777)));
    }
    let content = std::fs::read(path).map_err(io)?;
    ClusterKey::from_file_content(&content).ok_or_else(|| wrong("it does not hold 64 hex digits".to_string()))
}
