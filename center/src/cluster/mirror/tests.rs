//! Two directory managers of two centers over real sessions (VFS-21, VFS-22).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::dosp::ClusterKey;
use protocol::dosp::heartbeat::{Heartbeat, NodeState, Roles};
use protocol::id::{CustomerId, Timestamp, Token};
use protocol::name::Name;
use protocol::srl::Secret;
use protocol::vfs::{Operation, Request, VfsErrorCode, xml};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::cluster::beacon::{self, Beacon};
use crate::cluster::daemon::{self, Registry};
use crate::cluster::link::Links;
use crate::cluster::session::Credentials;
use crate::cluster::view::Own;
use crate::config::Mirror as MirrorConfig;
use crate::vfs::mirror::{Keep, Names};
use crate::vfs::{Cluster, ClusterError, DirectoryManager, Elsewhere, Engine, MetaStore, NewCustomer, Quota};
use crate::witness::{self, Witness};

const CUSTOMER: CustomerId = CustomerId(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster without objects.
struct Nothing;

impl Cluster for Nothing {
    async fn has_reference(
        &self,
        _: CustomerId,
        _: &protocol::digest::Content,
        _: Token,
    ) -> Result<bool, ClusterError> {
        Ok(false)
    }

    async fn release(
        &self,
        _: CustomerId,
        _: protocol::digest::Fingerprint,
        _: Token,
    ) -> Result<(), ClusterError> {
        Ok(())
    }

    async fn space(&self) -> Result<u64, ClusterError> {
        Ok(0)
    }
}

/// A center: 127.0.1.0/24 is north, 127.0.2.0/24 south.
struct Center {
    name: &'static str,
    address: SocketAddr,
    folder: Arc<TempDir>,
    desk: Desk,
    store: MetaStore,
    view: View,
    stop: CancellationToken,
}

impl Center {
    async fn start(
        name: &'static str,
        folder: Arc<TempDir>,
        address: SocketAddr,
        witness: Option<SocketAddr>,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = ClusterKey::new([7; 32]);
        let credentials = Credentials::new(&key, "main");
        let node = u32::from(name == "south");
        let own = Own { node, roles: Roles { ddm: true, ..Roles::default() }, address };
        let settings = beacon::Settings { listen: address, multicast: None, peers: Vec::new() };
        let beacon = Beacon::open(settings, key.datagram_key("main"), node, 1).unwrap();
        let view = View::new(own, Links::new(credentials.clone()), beacon, std::num::NonZeroUsize::MIN);
        let names = Names { center: name.to_owned(), first_writer: "north".to_owned(), others: 1 };
        let engine = Engine::Sqlite(folder.path().join("vfs.sqlite"));
        let store = MetaStore::open_mirrored(engine, Some(names), Keep::default()).await.unwrap();
        let desk = Desk::new(store.mirror().unwrap().clone(), view.clone(), centers(name), witness);
        let manager = DirectoryManager::new(store.clone(), Arc::new(Nothing)).beside(Arc::new(desk.clone()));
        let (mut registry, stop) = (Registry::default(), CancellationToken::new());
        register(&mut registry, &desk, &Arc::new(manager));
        tokio::spawn(daemon::serve(listener, credentials, Arc::new(registry), stop.clone()));
        tokio::spawn(desk.clone().run(stop.clone()));
        Self { name, address, folder, desk, store, view, stop }
    }

    fn hears_of(&self, other: &Self) {
        let heartbeat = Heartbeat {
            node: other.view.own().node,
            roles: other.view.own().roles,
            address: other.address,
            state: NodeState::Online,
            lost_references: false,
            ops_per_second: 0,
            outstanding: 0,
            disks: Vec::new(),
        };
        self.view.hear(heartbeat, 1, Instant::now());
    }

    async fn becomes(&self, wanted: impl Fn(&Role) -> bool) {
        let mut role = self.desk.role();
        let became = tokio::time::timeout(PATIENCE, role.wait_for(|role| wanted(role))).await;
        assert!(became.is_ok(), "{} is {:?}", self.name, self.desk.role().borrow());
    }

    async fn has(&self, position: u64) {
        let mut known = self.desk.mirror().known();
        let has = tokio::time::timeout(PATIENCE, known.wait_for(|known| known.number >= position)).await;
        assert!(has.is_ok(), "{} is at {:?}", self.name, self.desk.mirror().position());
    }

    fn stop(self) -> Arc<TempDir> {
        self.stop.cancel();
        self.folder
    }
}

fn centers(name: &str) -> Centers {
    let (own, other, name_of_other) = match name {
        "north" => ("127.0.1.0/24", "127.0.2.0/24", "south"),
        _ => ("127.0.2.0/24", "127.0.1.0/24", "north"),
    };
    let config: MirrorConfig = toml::from_str(&format!(
        "center = {name:?}\nnetworks = [{own:?}]\ncertificate = \"c\"\nkey = \"k\"\nauthority = \"a\"\n\
         first_writer = \"north\"\n[[other]]\ncenter = {name_of_other:?}\nnetworks = [{other:?}]\npeers = []\n"
    ))
    .unwrap();
    Centers::new(&config)
}

async fn pair(witness: Option<SocketAddr>) -> (Center, Center) {
    let folder = || Arc::new(tempfile::tempdir().unwrap());
    let north = Center::start("north", folder(), "127.0.1.1:0".parse().unwrap(), witness).await;
    let south = Center::start("south", folder(), "127.0.2.1:0".parse().unwrap(), witness).await;
    north.hears_of(&south);
    south.hears_of(&north);
    north.becomes(|role| *role == Role::Writes).await;
    south.becomes(|role| *role == Role::Follows(Some(north.address))).await;
    let new = NewCustomer {
        id: Some(CUSTOMER),
        name: "customer".to_owned(),
        secret: Secret::new(vec![b's'; 16]).unwrap(),
        quota: Quota::default(),
        root_metadata: Vec::new(),
    };
    let until = tokio::time::Instant::now() + PATIENCE;
    // It writes when its witness has answered.
    while let Err(error) = north.store.add_customer(new.clone(), Timestamp(1)).await {
        assert!(tokio::time::Instant::now() < until, "{error}");
        tokio::task::yield_now().await;
    }
    south.has(north.desk.mirror().position().number).await;
    (north, south)
}

fn document(name: &str) -> Vec<u8> {
    let (name, parent) = (Name::new(name.as_bytes()).unwrap(), protocol::id::ObjectId(100));
    let operation = Operation::CreateFolder { parent, name, metadata: Vec::new() };
    xml::encode_requests(&[Request { key: None, operation }], None)
}

/// VFS-21, VFS-22: over real sessions a follower copies and follows; what it hands on is there when it is answered; the
/// writer hands over by command, and follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_follows_hands_on_and_takes_over() {
    let (north, south) = pair(None).await;
    assert!(
        north.desk.forward(CUSTOMER, &document("here")).await.is_none(),
        "the writer makes changes itself"
    );
    let replies = south.desk.forward(CUSTOMER, &document("there")).await.unwrap().unwrap();
    assert!(xml::decode_replies(&replies).unwrap()[0].is_ok());
    assert_eq!(south.desk.mirror().position(), north.desk.mirror().position(), "read your writes");
    let status = north.desk.status().await.unwrap();
    assert_eq!((status.role.as_str(), status.alone, status.followers[0].owed), ("writer", false, 0));

    south.desk.take_over(false).await.unwrap();
    south.becomes(|role| *role == Role::Writes).await;
    north.becomes(|role| *role == Role::Follows(Some(south.address))).await;
    let replies = north.desk.forward(CUSTOMER, &document("back")).await.unwrap().unwrap();
    assert!(xml::decode_replies(&replies).unwrap()[0].is_ok());
    assert_eq!(north.desk.mirror().position(), south.desk.mirror().position());
    assert!(north.desk.status().await.unwrap().writer_reached);
    assert_eq!(south.desk.take_over(false).await, Err("\"south\" changes the directory already".to_owned()));
}

/// VFS-21: a writer that is down is taken over from by force alone; when it comes back it follows, and does not write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_writer_is_taken_over_from_by_force_and_follows_when_it_is_back() {
    let (north, south) = pair(None).await;
    let folder = north.stop();
    south.becomes(|role| *role == Role::Follows(None)).await;
    let refused = south.desk.take_over(false).await.unwrap_err();
    assert!(refused.contains("--force"), "{refused}");
    south.desk.take_over(true).await.unwrap();
    south.becomes(|role| *role == Role::Writes).await;

    let north = Center::start("north", folder, "127.0.1.2:0".parse().unwrap(), None).await;
    north.hears_of(&south);
    south.hears_of(&north);
    north.becomes(|role| *role == Role::Follows(Some(south.address))).await;
    let replies = north.desk.forward(CUSTOMER, &document("after")).await.unwrap().unwrap();
    assert!(xml::decode_replies(&replies).unwrap()[0].is_ok());
    assert_eq!(north.desk.mirror().position(), south.desk.mirror().position());
    assert_eq!(north.desk.mirror().position().generation.number, 2);
}

async fn start_witness(folder: &TempDir) -> (SocketAddr, CancellationToken) {
    let witness = Witness::open(&folder.path().join("witness.json")).unwrap();
    let (mut registry, stop) = (Registry::default(), CancellationToken::new());
    witness::register(&mut registry, &Arc::new(witness));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let credentials = Credentials::new(&ClusterKey::new([7; 32]), "main");
    tokio::spawn(daemon::serve(listener, credentials, Arc::new(registry), stop.clone()));
    (address, stop)
}

/// VFS-21: with a witness a follower takes over by itself from a writer that died, and what was answered is there; a
/// writer without its witness stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_witness_a_follower_takes_over_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, stop) = start_witness(&folder).await;
    let (north, south) = pair(Some(witness)).await;
    let make = async |center: &Center, name: &str| {
        let manager = DirectoryManager::new(center.store.clone(), Arc::new(Nothing));
        let replies = manager.handle_authentic(CUSTOMER, &document(name), Timestamp(5)).await.unwrap();
        xml::decode_replies(&replies).unwrap().pop().unwrap()
    };
    // Who has just begun to write waits for the witness's leave, and its clients ask again.
    let make_patiently = async |center: &Center, name: &str| {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match make(center, name).await {
                Err(error) if error.code == VfsErrorCode::Unavailable => {
                    assert!(tokio::time::Instant::now() < until, "{error}");
                    tokio::task::yield_now().await;
                }
                done => return done,
            }
        }
    };
    make_patiently(&north, "answered").await.unwrap();
    let answered = north.desk.mirror().position().number;
    let until = tokio::time::Instant::now() + PATIENCE;
    while std::fs::read_to_string(folder.path().join("witness.json")).unwrap().contains("\"alone\":true") {
        assert!(tokio::time::Instant::now() < until, "a follower has all");
        tokio::task::yield_now().await;
    }
    let north_folder = north.stop();
    south.becomes(|role| *role == Role::Writes).await;
    assert_eq!(south.desk.mirror().position().generation.number, 2);
    assert!(south.desk.mirror().position().number > answered, "and the leap");
    let again = make_patiently(&south, "answered").await.unwrap_err();
    assert_eq!(again.code, VfsErrorCode::Exists);
    make_patiently(&south, "next").await.unwrap();

    let north = Center::start("north", north_folder, "127.0.1.3:0".parse().unwrap(), Some(witness)).await;
    north.hears_of(&south);
    south.hears_of(&north);
    north.becomes(|role| *role == Role::Follows(Some(south.address))).await;
    north.has(south.desk.mirror().position().number).await;
    stop.cancel();
    let until = tokio::time::Instant::now() + PATIENCE;
    while make(&south, &format!("{:?}", tokio::time::Instant::now())).await.is_ok() {
        assert!(tokio::time::Instant::now() < until, "it goes on without the witness's leave");
        tokio::task::yield_now().await;
    }
    assert_eq!(south.desk.status().await.unwrap().role, "waiting");
}
