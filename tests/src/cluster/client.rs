//! Who asks the cluster, from a host of his own: [`Client`] by signed requests at an object manager of the test's
//! choice, without a second try; [`Library`] as programs do, by the library calls, which try again by themselves.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::client::{Center, ClientError, Settings, Source};
use bytes::Bytes;
use futures::TryStreamExt;
use protocol::digest::{Content, Fingerprint, ObjectHasher};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::srl::{AccessMethod, ObjectName, Secret, SrlKind, SrlOperation, SrlRequest, SrlVersion};
use protocol::vfs::{Answer as VfsAnswer, Existing, Kind, Operation, Row, Target, Upload};
use protocol::vfs::{Request as VfsRequest, xml::decode_stored};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::runtime::{Builder, Runtime};

use super::http::{Answer, Answering, Http, Request};
use super::network::Host;

/// How long library calls go on trying.
const DEADLINE: Duration = Duration::from_secs(30);
/// Entries of a folder asked for at a time.
const PAGE: u32 = 1_000;

/// Signed requests for any customer at any object manager.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    managers: Vec<SocketAddr>,
    /// The second half of the managers are those of another center.
    two_centers: bool,
    secrets: Arc<BTreeMap<u32, Secret>>,
}

/// Where a stored object becomes a file.
#[derive(Clone, Copy, Debug)]
pub struct Place<'name> {
    /// Its folder.
    pub parent: ObjectId,
    /// Its name.
    pub name: &'name str,
}

impl Client {
    /// Of these object managers, with these customers' secrets.
    pub fn new(http: Http, managers: Vec<SocketAddr>, secrets: Arc<BTreeMap<u32, Secret>>) -> Self {
        Self { http, managers, two_centers: false, secrets }
    }

    /// Also of the object managers of another center, as many as here; they have the numbers behind those of this one.
    pub fn with_other_center(mut self, managers: Vec<SocketAddr>) -> Self {
        assert_eq!(managers.len(), self.managers.len());
        self.managers.extend(managers);
        Self { two_centers: true, ..self }
    }

    /// The counterpart of an object manager in the other center, if there are two.
    pub fn counterpart(&self, manager: usize) -> Option<usize> {
        let managers = self.managers.len();
        self.two_centers.then(|| (manager + managers / 2) % managers)
    }

    /// How many object managers there are.
    pub fn managers(&self) -> usize {
        self.managers.len()
    }

    /// Any of them.
    pub fn any_manager(&self, rng: &mut StdRng) -> usize {
        rng.random_range(0..self.managers.len())
    }

    /// Stores an object without a row, held by `token`.
    ///
    /// # Errors
    /// As all requests here: no connection, silence, or an answer that ends early.
    pub fn store(&self, manager: usize, customer: u32, token: Token, bytes: &[u8]) -> io::Result<Answer> {
        let operation = SrlOperation::Store { parent: ObjectId(0) };
        let path = self.path(AccessMethod::StoragePort, customer, operation, "");
        self.put(manager, &path, token, bytes)
    }

    /// Stores an object as a new file, as an end user does; the object manager has the row made.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_file(
        &self,
        manager: usize,
        customer: u32,
        place: Place<'_>,
        token: Token,
        bytes: &[u8],
    ) -> io::Result<Answer> {
        let operation = SrlOperation::Store { parent: place.parent };
        let path = self.path(AccessMethod::EndUser, customer, operation, place.name);
        self.put(manager, &path, token, bytes)
    }

    /// Stores an object as a file that the customer calls by an id of its own, as an end user does.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn store_client_file(
        &self,
        manager: usize,
        customer: u32,
        (file, replace): (ClientFile, bool),
        token: Token,
        bytes: &[u8],
    ) -> io::Result<Answer> {
        let operation = SrlOperation::StoreClientFile { file, replace };
        let path = self.path(AccessMethod::EndUser, customer, operation, "");
        self.put(manager, &path, token, bytes)
    }

    /// Fetches such a file.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn fetch_client_file(&self, manager: usize, customer: u32, file: ClientFile) -> io::Result<Answer> {
        self.get(manager, customer, ObjectName::ClientFile(file), &[])?.finish()
    }

    fn put(&self, manager: usize, path: &str, token: Token, bytes: &[u8]) -> io::Result<Answer> {
        let headers = [("X-Upload-Token", token.to_string())];
        self.http
            .exchange(self.managers[manager], Request { method: "PUT", path, headers: &headers, body: bytes })
    }

    /// Fetches an object.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn fetch(&self, manager: usize, customer: u32, object: Fingerprint) -> io::Result<Answer> {
        self.open(manager, customer, object)?.finish()
    }

    /// Fetches an object if `callback` permits it.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn fetch_asking(
        &self,
        manager: usize,
        customer: u32,
        object: Fingerprint,
        callback: &str,
    ) -> io::Result<Answer> {
        let operation =
            SrlOperation::FetchAuth { object: ObjectName::Content(object), callback: callback.to_owned() };
        let path = self.path(AccessMethod::EndUser, customer, operation, "");
        let request = Request { method: "GET", path: &path, headers: &[], body: &[] };
        self.http.exchange(self.managers[manager], request)
    }

    /// Begins to fetch an object.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn open(&self, manager: usize, customer: u32, object: Fingerprint) -> io::Result<Answering> {
        self.get(manager, customer, ObjectName::Content(object), &[])
    }

    /// Fetches `len` bytes from `offset` on, one at least.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn fetch_range(
        &self,
        manager: usize,
        customer: u32,
        object: Fingerprint,
        offset: u64,
        len: u64,
    ) -> io::Result<Answer> {
        let range = format!("bytes={offset}-{}", offset + len - 1);
        self.get(manager, customer, ObjectName::Content(object), &[("Range", range)])?.finish()
    }

    fn get(
        &self,
        manager: usize,
        customer: u32,
        object: ObjectName,
        headers: &[(&str, String)],
    ) -> io::Result<Answering> {
        let operation = SrlOperation::Fetch { object };
        let path = self.path(AccessMethod::EndUser, customer, operation, "file");
        self.http.ask(self.managers[manager], Request { method: "GET", path: &path, headers, body: &[] })
    }

    /// Gives up a reference.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn delete(
        &self,
        manager: usize,
        customer: u32,
        object: Fingerprint,
        token: Token,
    ) -> io::Result<Answer> {
        self.remove(manager, customer, ObjectName::Content(object), token)
    }

    /// Removes a file that the customer calls by an id of its own.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn delete_client_file(
        &self,
        manager: usize,
        customer: u32,
        file: ClientFile,
        key: Token,
    ) -> io::Result<Answer> {
        self.remove(manager, customer, ObjectName::ClientFile(file), key)
    }

    fn remove(&self, manager: usize, customer: u32, object: ObjectName, token: Token) -> io::Result<Answer> {
        let operation = SrlOperation::Delete { object };
        let path = self.path(AccessMethod::StoragePort, customer, operation, "");
        let headers = [("X-Upload-Token", token.to_string())];
        self.http.exchange(
            self.managers[manager],
            Request { method: "DELETE", path: &path, headers: &headers, body: &[] },
        )
    }

    fn path(&self, access: AccessMethod, customer: u32, operation: SrlOperation, uri: &str) -> String {
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: 0,
            access,
            customer: CustomerId(customer),
            operation,
        };
        request.sign(&self.secrets[&customer]).path(uri.as_bytes())
    }
}

/// The content and file of an acknowledged upload; `None` if the answer is another.
pub fn stored(answer: &Answer) -> Option<(Content, Option<ObjectId>)> {
    let stored = matches!(answer.status, 200 | 201).then(|| decode_stored(&answer.body).ok())??;
    Some((stored.content, stored.file))
}

/// What identifies these bytes.
pub fn content_of(bytes: &[u8]) -> Content {
    let mut hasher = ObjectHasher::new();
    hasher.update(bytes);
    hasher.finish().0
}

/// The library calls of one customer.
pub struct Library {
    runtime: Runtime,
    center: Center,
}

impl Library {
    /// On this host, for this customer.
    pub fn new(
        host: &Host,
        directories: Vec<SocketAddr>,
        managers: Vec<SocketAddr>,
        customer: u32,
        secret: Secret,
    ) -> Self {
        let urls = |addresses: Vec<SocketAddr>| {
            addresses.into_iter().map(|address| format!("http://{address}")).collect()
        };
        let (directories, managers) = (urls(directories), urls(managers));
        let mut settings = Settings::new(directories, managers, CustomerId(customer), secret);
        settings.deadline = DEADLINE;
        let entrance = host.entrance();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .on_thread_start(move || entrance.move_in())
            .enable_all()
            .build()
            .unwrap();
        Self { runtime, center: Center::new(settings).unwrap() }
    }

    /// The center as the library has it, for [`Self::run`].
    pub fn center(&self) -> Center {
        self.center.clone()
    }

    /// On the runtime's threads, which are on the host; the caller's is not.
    pub fn run<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(self.runtime.spawn(call)).unwrap()
    }

    /// Does one operation of the directory service.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn operate(&self, operation: Operation, key: Option<Token>) -> Result<VfsAnswer, ClientError> {
        let center = self.center.clone();
        let answered = self.run(async move { center.operate(VfsRequest { key, operation }).await });
        answered.map(|answered| answered.answer)
    }

    /// The customer's root folder.
    pub fn root(&self) -> ObjectId {
        match self.operate(Operation::OpenRoot, None).unwrap() {
            VfsAnswer::Row(row) => row.id,
            other => panic!("{other:?}"),
        }
    }

    /// Stores bytes and makes a file of them. The same call may be made again.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn make_file(&self, place: Place<'_>, token: Token, bytes: Bytes) -> Result<ObjectId, ClientError> {
        let content = content_of(&bytes);
        let center = self.center.clone();
        self.run(async move { center.store(token, &content, Source::bytes(bytes)).await })?;
        let operation = Operation::CreateFile {
            parent: place.parent,
            name: Name::new(place.name.as_bytes()).unwrap(),
            metadata: Vec::new(),
            upload: Some(Upload { content, token }),
            existing: Existing::Refuse,
        };
        match self.operate(operation, Some(token))? {
            VfsAnswer::Changed(changed) => Ok(changed.row.expect("a new row").id),
            other => panic!("{other:?}"),
        }
    }

    /// Removes a file. The same call may be made again.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn remove(&self, file: ObjectId, key: Token) -> Result<(), ClientError> {
        let operation = Operation::Delete { target: Target::Id(file), kind: Kind::File, recursive: false };
        self.operate(operation, Some(key)).map(|_| ())
    }

    /// All entries of a folder.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn entries(&self, folder: ObjectId) -> Result<Vec<Row>, ClientError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let operation = Operation::OpenFolder { folder, after, limit: PAGE, srl_expires: None };
            let VfsAnswer::Folder { entries, more, .. } = self.operate(operation, None)? else {
                panic!("not a folder");
            };
            after = entries.last().map(|row| row.id);
            all.extend(entries);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Fetches an object, verified.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn fetch(&self, content: Content) -> Result<Vec<u8>, ClientError> {
        let center = self.center.clone();
        let pieces: Vec<Bytes> = self.run(async move { center.fetch(&content).try_collect().await })?;
        Ok(pieces.concat())
    }
}
