//! Tests of the VFS as a whole: operations through [`DirectoryManager::perform`] on a real database, with a storage
//! cluster that is a set in memory.
//!
//! The database is SQLite; or, where `VFS_TEST_POSTGRES` is the connection string of a PostgreSQL server, a new one there
//! for each test (VFS-4).

mod access;
mod changes;
mod client_files;
mod concurrent;
mod contents;
mod documents;
mod figure_12;
mod housework;
mod keys;
mod mirror;
mod model;
mod moves;
mod pairs;
mod place;
mod rows;
mod speed;
mod versions;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use protocol::digest::{Content, Digest, Fingerprint};
use protocol::id::{CustomerId, ObjectId, Timestamp, Token};
use protocol::name::Name;
use protocol::srl::Secret;
use protocol::vfs::{
    Answer, Changed, Existing, Kind, Operation, Reply, Request, Row, Target, Upload, VfsError, VfsErrorCode,
};

pub(super) use place::Place;

use super::edit::Verified;
use super::engine::{Database, Engine};
use super::store::Change;
use super::{
    Cluster, ClusterError, DirectoryManager, MetaStore, NewCustomer, Quota, Retention, housekeeping,
};

const SECRET: &[u8] = b"0123456789abcdef";
const FREE_BYTES: u64 = 1 << 40;

/// A storage cluster of references alone, which can be made unreachable.
#[derive(Default)]
struct FakeCluster {
    references: Mutex<HashSet<(CustomerId, Fingerprint, Token)>>,
    is_down: AtomicBool,
}

impl FakeCluster {
    fn reachable(&self) -> Result<(), ClusterError> {
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(ClusterError("no storage node answers".to_owned())),
            false => Ok(()),
        }
    }
}

impl Cluster for FakeCluster {
    async fn has_reference(
        &self,
        customer: CustomerId,
        content: &Content,
        token: Token,
    ) -> Result<bool, ClusterError> {
        self.reachable()?;
        Ok(self.references.lock().unwrap().contains(&(customer, content.fingerprint, token)))
    }

    async fn release(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        token: Token,
    ) -> Result<(), ClusterError> {
        self.reachable()?;
        self.references.lock().unwrap().remove(&(customer, fingerprint, token));
        Ok(())
    }

    async fn space(&self) -> Result<u64, ClusterError> {
        self.reachable().map(|()| FREE_BYTES)
    }
}

/// A VFS with one customer, on a database of its own and a clock that each operation moves on by a microsecond.
pub(super) struct Fixture {
    manager: DirectoryManager<FakeCluster>,
    pub(super) store: MetaStore,
    cluster: Arc<FakeCluster>,
    customer: CustomerId,
    pub(super) root: ObjectId,
    clock: AtomicI64,
    place: Place,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with_quota(Quota::default()).await
    }

    async fn with_quota(quota: Quota) -> Self {
        let place = Place::new().await;
        let store = MetaStore::open(place.engine.clone()).await.unwrap();
        let new = NewCustomer { quota, ..new_customer(Some(CustomerId(3)), "customer C") };
        let customer = store.add_customer(new, Timestamp(1_000)).await.unwrap();
        let cluster = Arc::new(FakeCluster::default());
        Self {
            manager: DirectoryManager::new(store.clone(), Arc::clone(&cluster)),
            store,
            cluster,
            customer: customer.id,
            root: customer.root,
            clock: AtomicI64::new(1_000_000_000),
            place,
        }
    }

    /// The same, in which what is deleted and overwritten is kept for so many seconds.
    async fn keeping(quota: Quota, seconds: u32) -> Self {
        let vfs = Self::with_quota(quota).await;
        let store = vfs.store.clone().keeping(Retention(seconds));
        Self { manager: DirectoryManager::new(store.clone(), Arc::clone(&vfs.cluster)), store, ..vfs }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.place.engine
    }

    /// The same customer in another database.
    pub(super) async fn at(&self, place: Place) -> Self {
        let store = MetaStore::open(place.engine.clone()).await.unwrap();
        let (cluster, customer, root) = (Arc::clone(&self.cluster), self.customer, self.root);
        let (manager, clock) =
            (DirectoryManager::new(store.clone(), Arc::clone(&cluster)), AtomicI64::new(self.now().0));
        Self { manager, store, cluster, customer, root, clock, place }
    }

    /// The same database, opened once more.
    pub(super) async fn reopen(&self) -> MetaStore {
        MetaStore::open(self.place.engine.clone()).await.unwrap()
    }

    /// Another directory manager in front of the same database.
    async fn second_manager(&self) -> DirectoryManager<FakeCluster> {
        DirectoryManager::new(self.reopen().await, Arc::clone(&self.cluster))
    }

    /// Works on the tables behind the store's back.
    async fn sql<T: Send + 'static>(&self, work: impl FnOnce(&dyn Database) -> T + Send + 'static) -> T {
        let engine = self.place.engine.clone();
        let working = tokio::task::spawn_blocking(move || {
            let mut session = engine.open().unwrap();
            session.begin(&[]).unwrap();
            let result = work(session.database());
            session.commit().unwrap();
            result
        });
        working.await.unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.fetch_add(1_000, Ordering::SeqCst))
    }

    async fn perform(&self, key: Option<Token>, operation: Operation) -> Result<Answer, VfsError> {
        let request = Request { key, operation };
        self.manager.perform(self.customer, request, self.now()).await.map(|answered| answered.answer)
    }

    /// Hands a change to the writer as if the cluster had been asked.
    async fn commit(&self, request: Request, verified: Option<Verified>) -> Reply {
        let changes = vec![Ok(Change { request, verified })];
        self.store.change(self.customer.into(), changes, self.now()).await.pop().unwrap()
    }

    /// Performs an operation and expects a change or a refusal.
    async fn change(&self, operation: Operation) -> Result<Changed, VfsErrorCode> {
        match self.perform(None, operation).await {
            Ok(Answer::Changed(changed)) => Ok(changed),
            Ok(other) => panic!("not a change: {other:?}"),
            Err(error) => Err(error.code),
        }
    }

    pub(super) async fn mkdir(&self, parent: ObjectId, text: &str) -> ObjectId {
        let operation = Operation::CreateFolder { parent, name: name(text), metadata: Vec::new() };
        self.change(operation).await.unwrap().row.unwrap().id
    }

    pub(super) async fn touch(&self, parent: ObjectId, text: &str) -> ObjectId {
        self.create(parent, text, None).await.unwrap().row.unwrap().id
    }

    async fn create(
        &self,
        parent: ObjectId,
        text: &str,
        upload: Option<Upload>,
    ) -> Result<Changed, VfsErrorCode> {
        let (name, existing) = (name(text), Existing::Refuse);
        self.change(Operation::CreateFile { parent, name, metadata: Vec::new(), upload, existing }).await
    }

    /// Puts contents into the cluster.
    fn store(&self, upload: Upload) -> Upload {
        let reference = (self.customer, upload.content.fingerprint, upload.token);
        self.cluster.references.lock().unwrap().insert(reference);
        upload
    }

    fn is_stored(&self, upload: Upload) -> bool {
        let reference = (self.customer, upload.content.fingerprint, upload.token);
        self.cluster.references.lock().unwrap().contains(&reference)
    }

    async fn rename(
        &self,
        id: ObjectId,
        parent: ObjectId,
        to: &str,
        replace: bool,
    ) -> Result<Changed, VfsErrorCode> {
        let target = Target::Id(id);
        self.change(Operation::Move { target, kind: None, parent, name: name(to), replace }).await
    }

    pub(super) async fn delete(
        &self,
        id: ObjectId,
        kind: Kind,
        recursive: bool,
    ) -> Result<Changed, VfsErrorCode> {
        self.change(Operation::Delete { target: Target::Id(id), kind, recursive }).await
    }

    async fn open(&self, id: ObjectId) -> Result<Row, VfsErrorCode> {
        match self.perform(None, Operation::Open { target: Target::Id(id), srl_expires: None }).await {
            Ok(Answer::Row(row)) => Ok(row),
            Ok(other) => panic!("not a row: {other:?}"),
            Err(error) => Err(error.code),
        }
    }

    /// All entries of a folder, listed `page` at a time.
    pub(super) async fn list(&self, folder: ObjectId, page: u32) -> Vec<Row> {
        let mut all: Vec<Row> = Vec::new();
        loop {
            let after = all.last().map(|row| row.id);
            let operation = Operation::OpenFolder { folder, after, limit: page, srl_expires: None };
            match self.perform(None, operation).await {
                Ok(Answer::Folder { entries, more, .. }) => {
                    all.extend(entries);
                    if !more {
                        return all;
                    }
                }
                other => panic!("not a folder: {other:?}"),
            }
        }
    }

    pub(super) async fn usage(&self) -> protocol::vfs::Usage {
        match self.perform(None, Operation::Usage).await {
            Ok(Answer::Usage(usage)) => usage,
            other => panic!("no usage: {other:?}"),
        }
    }

    /// Keeps house until nothing is left to be done now.
    async fn keep_house(&self) {
        while housekeeping::step(&self.store, &*self.cluster, &|| self.now()).await.unwrap() {}
    }
}

fn secret() -> Secret {
    Secret::new(SECRET.to_vec()).unwrap()
}

fn new_customer(id: Option<CustomerId>, name: &str) -> NewCustomer {
    let (name, secret, quota) = (name.to_owned(), secret(), Quota::default());
    NewCustomer { id, name, secret, quota, root_metadata: Vec::new() }
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

/// An upload of its own for each number.
fn upload(number: u8, size: u64) -> Upload {
    Upload {
        content: Content { fingerprint: Fingerprint([number; 16]), size, digest: Digest([number; 32]) },
        token: Token([number; 16]),
    }
}

fn update(id: ObjectId) -> Operation {
    Operation::Update { id, if_version: None, metadata: None, modified: None, changed: None, upload: None }
}
