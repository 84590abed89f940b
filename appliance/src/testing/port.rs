//! A port in front of the center in memory, without sockets.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nfs::duty::Duty;
use nfs::filesystem::{
    Attributes, Caller, CreateHow, Filesystem, FsResult, Groups, Handle, Read, RequestKey, Segment,
    SetAttributes, Stability,
};
use protocol::id::{CustomerId, ObjectId};
use protocol::srl::Secret;
use tokio::task::JoinSet;

use super::center::FakeCenter;
use crate::center::CenterError;
use crate::customer::Customer;
use crate::data_cache::{self, DataCache};
use crate::directory_cache::{self, Directory};
use crate::journal::{self, FileKey, Journal};
use crate::object::Objects;
use crate::translator::export::{Export, Exports};
use crate::translator::handle::{HandleKey, Tree};
use crate::translator::{Translator, Turn};
use crate::uploader::Uploader;

const CUSTOMER: CustomerId = CustomerId(1);

/// A port with two exports, `/export` and `/SRL`; its tasks end with it.
pub(crate) struct TestPort {
    pub(crate) center: Arc<FakeCenter>,
    pub(crate) customer: Arc<Customer<FakeCenter>>,
    pub(crate) journal: Journal,
    pub(crate) translator: Arc<Translator<FakeCenter>>,
    /// Of 64 MiB, in at most 1024 files.
    pub(crate) blocks: DataCache<CenterError>,
    /// Runs only when a test starts it.
    pub(crate) uploader: Arc<Uploader<FakeCenter>>,
    key: HandleKey,
    tasks: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl TestPort {
    pub(crate) async fn start() -> Self {
        Self::start_with(Arc::default(), |export| export).await
    }

    pub(crate) async fn start_with(center: Arc<FakeCenter>, change: impl Fn(Export) -> Export) -> Self {
        Self::start_with_journal(center, change, 256 << 20).await
    }

    pub(crate) async fn start_with_journal(
        center: Arc<FakeCenter>,
        change: impl Fn(Export) -> Export,
        journal_bytes: u64,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = journal::Settings::new(dir.path().join("journal"), journal_bytes);
        let (journal, _) = Journal::open(settings).unwrap();
        let blocks = DataCache::open(data_cache::Settings {
            disks: vec![data_cache::DiskSettings { path: dir.path().join("cache"), bytes_max: 64 << 20 }],
            open_files_max: 64,
            entries_max: 1_024,
            fills_max: 8,
            pinned_share: 0.5,
        });
        let settings = directory_cache::Settings {
            entries_max: NonZeroUsize::new(10_000).unwrap(),
            believe: Duration::from_secs(30),
        };
        let directory = Arc::new(Directory::new(Arc::clone(&center), CUSTOMER, settings));
        let objects = Objects::new(blocks.clone(), Arc::clone(&center), Arc::clone(&directory));
        let secret = Secret::new(b"0123456789abcdef".to_vec()).unwrap();
        let customer =
            Arc::new(Customer::new(CUSTOMER, secret, Arc::clone(&center), Arc::clone(&directory), objects));
        let customers = HashMap::from([(CUSTOMER, Arc::clone(&customer))]);
        let uploader =
            Uploader::new(journal.clone(), customers.clone(), Duration::from_millis(10), Duty::default());
        let exports = [("/export", Tree::Files), ("/SRL", Tree::Srl)]
            .map(|(path, tree)| change(crate::translator::export::tests::export(path, tree)));
        let key = HandleKey::new([7; 32]);
        let translator = Translator::new(
            Exports::new(exports).unwrap(),
            customers,
            journal.clone(),
            Arc::clone(&uploader),
            key.clone(),
            [1; 16],
            Turn::default(),
        );
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let directory = Arc::clone(&directory);
            async move { directory.follow().await }
        });
        directory.reachable().await;
        let translator = Arc::new(translator);
        Self { center, customer, journal, translator, blocks, uploader, key, tasks, _dir: dir }
    }

    /// Uploads from now on what is written.
    pub(crate) fn upload(&mut self) {
        self.tasks.spawn(Arc::clone(&self.uploader).run());
    }

    /// The id in a handle.
    pub(crate) fn id(&self, handle: &Handle) -> ObjectId {
        self.key.open(handle).unwrap().object
    }

    /// Waits until nothing of a file is staged.
    pub(crate) async fn settle(&self, handle: &Handle) {
        let file = FileKey { customer: CUSTOMER, file: self.id(handle) };
        assert!(self.uploader.settled(file, Duration::from_secs(20)).await, "not uploaded");
    }

    pub(crate) async fn root(&self) -> Handle {
        self.translator.mount(&root(), "/export").await.unwrap()
    }

    /// Makes a file and writes to it, durably.
    pub(crate) async fn put(&self, dir: &Handle, name: &str, bytes: &[u8]) -> FsResult<Handle> {
        let how = CreateHow::Guarded(SetAttributes::default());
        let (file, _) = self.translator.create(&root(), dir, name.as_bytes(), how).await.result?;
        self.write(&file, 0, bytes).await?;
        Ok(file)
    }

    pub(crate) async fn write(&self, file: &Handle, offset: u64, bytes: &[u8]) -> FsResult<()> {
        let data = Bytes::copy_from_slice(bytes);
        self.translator.write(&root(), file, offset, data, Stability::FileSync).await.result.map(drop)
    }

    pub(crate) async fn read(&self, file: &Handle) -> FsResult<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let read = self.translator.read(&root(), file, bytes.len() as u64, 1 << 20).await?;
            bytes.extend(gather(&read));
            if read.eof {
                return Ok(bytes);
            }
        }
    }

    pub(crate) async fn getattr(&self, object: &Handle) -> FsResult<Attributes> {
        self.translator.getattr(&root(), object).await
    }

    pub(crate) async fn lookup(&self, dir: &Handle, name: &str) -> FsResult<Handle> {
        Ok(self.translator.lookup(&root(), dir, name.as_bytes()).await?.0)
    }
}

/// The bytes of a READ's answer.
pub(crate) fn gather(read: &Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in &read.data {
        match segment {
            Segment::Bytes(part) => bytes.extend_from_slice(part),
            Segment::File { file, offset, len } => {
                let mut part = vec![0; *len as usize];
                std::os::unix::fs::FileExt::read_exact_at(&**file, &mut part, *offset).unwrap();
                bytes.extend(part);
            }
        }
    }
    bytes
}

/// Root, with a request never made before.
pub(crate) fn root() -> Caller {
    caller(0, 0)
}

/// Somebody, with a request never made before.
pub(crate) fn caller(uid: u32, gid: u32) -> Caller {
    let request = RequestKey(crate::host::random());
    Caller { address: [127, 0, 0, 1].into(), uid, gid, groups: Groups::default(), request }
}
