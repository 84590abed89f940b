//! The directory manager (DDM): request documents in, reply documents out (VFS-3, VFS-9, VFS-19).
//!
//! Authenticates, decodes, asks the cluster what must be asked, and lets the store do the rest. Knows no HTTP types.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use protocol::digest::Content;
use protocol::dosp::Reference;
use protocol::id::{ClientFile, CustomerId, FeedPosition, Timestamp, Token};
use protocol::pair::{Asker, LeaseQuestion, Stamp};
use protocol::srl::{Secret, SignedSrl, SrlError, SrlOperation, check_control_ticket};
use protocol::vfs::{
    Answer, Body, Document, Existing, Kind, Operation, REQUEST_BYTES_MAX, Reply, Request, Row, Target,
    Upload, VfsError, VfsErrorCode, xml,
};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::client_files::{name_of, row_of};
use super::cluster::Cluster;
use super::edit::{Verified, no_such_object, upload_of};
use super::failure::{Failure, StoreError};
use super::query::Query;
use super::replies;
use super::store::{Change, MetaStore, Prepared};
use super::time::{after, seconds};

/// Longest wait for the cluster to give up a reference.
const RELEASE_WAIT: Duration = Duration::from_secs(2);
/// Longest wait of a CHANGES operation.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Most CHANGES operations that wait at one time.
const WAITERS_MAX: usize = 1_024;
/// How long a customer's secrets are believed without looking, where no change is heard of.
const SECRETS_FRESH: Duration = Duration::from_secs(5);
/// Customers whose secrets are kept at hand.
const SECRETS_MAX: usize = 10_000;

/// Why a request document as a whole was refused.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// No well-formed request → 400. The client's program is wrong.
    #[error("{0}")]
    Malformed(String),
    /// Not authentic, expired or not allowed → 403 (400 if malformed, see [`SrlError`]).
    #[error(transparent)]
    Refused(#[from] SrlError),
    /// The VFS cannot answer now → 503. Send the same request again.
    #[error("the directory service cannot answer now; try again later")]
    Unavailable(#[from] StoreError),
}

/// Another directory manager that makes changes in place of this one.
pub trait Elsewhere: Send + Sync {
    /// Has it answer a document with changes in it, which is the customer's. `None`: changes are made here.
    ///
    /// # Errors
    /// For people: it was not reached, and the document may be repeated.
    fn forward<'a>(
        &'a self,
        customer: CustomerId,
        document: &'a [u8],
    ) -> BoxFuture<'a, Option<Result<Vec<u8>, String>>>;
}

/// One directory manager in front of the directory database.
pub struct DirectoryManager<C> {
    store: MetaStore,
    cluster: Arc<C>,
    elsewhere: Option<Arc<dyn Elsewhere>>,
    secrets: Mutex<HashMap<CustomerId, KnownSecrets>>,
    waiters: Semaphore,
}

/// Secrets at hand, and until when they are believed: a time, or a change of anybody's access.
#[derive(Clone)]
struct KnownSecrets {
    until: Timestamp,
    access: u64,
    secrets: Arc<[Secret]>,
}

impl<C: Cluster> DirectoryManager<C> {
    /// A manager of this store, for contents in this cluster.
    pub fn new(store: MetaStore, cluster: Arc<C>) -> Self {
        Self {
            store,
            cluster,
            elsewhere: None,
            secrets: Mutex::default(),
            waiters: Semaphore::new(WAITERS_MAX),
        }
    }

    /// The same, for one that may not be the one to make changes.
    pub fn beside(mut self, elsewhere: Arc<dyn Elsewhere>) -> Self {
        self.elsewhere = Some(elsewhere);
        self
    }

    /// Answers a request document that came with a CONTROL SRL. Operations that fail are answered inside the document.
    ///
    /// # Errors
    /// Those of the document itself; none of its operations was begun then.
    pub async fn handle(
        &self,
        srl: &SignedSrl,
        document: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, DocumentError> {
        if document.len() > REQUEST_BYTES_MAX {
            return Err(DocumentError::Malformed("a request document has at most 1 MiB".to_owned()));
        }
        let customer = self.authenticate(srl, document, now).await?;
        let asked = decode(document)?;
        if let Some(elsewhere) = &self.elsewhere
            && asked.requests.iter().any(|request| request.operation.is_written())
            && let Some(forwarded) = elsewhere.forward(customer, document).await
        {
            return forwarded.map_err(|reason| {
                tracing::debug!(reason, "a document was not handed on");
                StoreError::NotNow.into()
            });
        }
        Ok(self.answer(customer, asked, now).await)
    }

    /// Answers a document that is known to be the customer's.
    ///
    /// # Errors
    /// [`DocumentError::Malformed`].
    pub async fn handle_authentic(
        &self,
        customer: CustomerId,
        document: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, DocumentError> {
        Ok(self.answer(customer, decode(document)?, now).await)
    }

    async fn answer(&self, customer: CustomerId, asked: Document, now: Timestamp) -> Vec<u8> {
        let Document { stamp, requests } = asked;
        let asker = Asker { customer, stamp };
        let mut replies = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while let Some(request) = requests.next() {
            if !request.operation.is_change() {
                replies.push(self.perform(asker.clone(), request, now).await);
                continue;
            }
            // Changes in a row go to the writer together, so that one COMMIT takes them.
            let mut changes = vec![request];
            changes.extend(std::iter::from_fn(|| requests.next_if(|next| next.operation.is_change())));
            replies.extend(self.change(&asker, changes, now).await);
        }
        xml::encode_replies(&replies)
    }

    /// Does one operation for somebody who is already known to be authentic.
    pub async fn perform(&self, asker: impl Into<Asker>, request: Request, now: Timestamp) -> Reply {
        let asker = asker.into();
        let customer = asker.customer;
        let query = match request.operation {
            Operation::OpenRoot => Query::OpenRoot,
            Operation::OpenFolder { folder, after, limit, srl_expires } => {
                Query::OpenFolder { folder, after, limit, srl_expires }
            }
            Operation::Open { target, srl_expires } => Query::Open { target, srl_expires },
            Operation::Usage => match self.cluster.space().await {
                Ok(bytes_free) => Query::Usage { bytes_free },
                Err(error) => return Err(VfsError::unavailable(error.to_string())),
            },
            Operation::Versions { of, after, limit } => Query::Versions { of, after, limit },
            Operation::Changes { since, wait_ms } => return self.changes(customer, since, wait_ms).await,
            Operation::PortLease { pair, question: LeaseQuestion::Ping, .. } => Query::InForce { pair },
            Operation::PortLease { pair, member, question } => {
                let answered = self.store.lease(asker, pair, member, question).await;
                return answered.map_err(Failure::into_vfs_error);
            }
            Operation::CreateFolder { .. }
            | Operation::CreateFile { .. }
            | Operation::Move { .. }
            | Operation::Delete { .. }
            | Operation::Update { .. }
            | Operation::Restore { .. } => {
                let reply = self.change(&asker, vec![request], now).await.pop();
                return reply.unwrap_or_else(|| Err(VfsError::unavailable("the change was not made")));
            }
        };
        self.store.query(customer, query).await.map_err(Failure::into_vfs_error)
    }

    /// Makes an upload a file that the customer calls by an id of its own; what is stored as that file is replaced if
    /// that is wanted. Repeated with the same token, it gets the first answer.
    ///
    /// # Errors
    /// Those of CREATE FILE: `Exists` if there is such a file and it is not to be replaced.
    pub async fn store_client_file(
        &self,
        asker: Asker,
        file: ClientFile,
        upload: Upload,
        replace: bool,
        now: Timestamp,
    ) -> Result<(), VfsError> {
        let parent = match self.store.client_files(asker.customer).await.map_err(told)? {
            Some(folder) => folder,
            None => self.store.make_client_files(asker.customer, now).await.map_err(told)?,
        };
        let name = name_of(file).map_err(Failure::into_vfs_error)?;
        let existing = if replace { Existing::Replace } else { Existing::Refuse };
        let operation =
            Operation::CreateFile { parent, name, metadata: Vec::new(), upload: Some(upload), existing };
        self.perform(asker, Request { key: Some(upload.token), operation }, now).await.map(drop)
    }

    /// What is stored as a file that the customer calls by an id of its own.
    ///
    /// # Errors
    /// `NotFound` if nothing is.
    pub async fn find_client_file(
        &self,
        customer: CustomerId,
        file: ClientFile,
        now: Timestamp,
    ) -> Result<Content, VfsError> {
        let operation =
            Operation::Open { target: self.client_file(customer, file).await?, srl_expires: None };
        match self.perform(customer, Request { key: None, operation }, now).await?.answer {
            Answer::Row(Row { body: Body::File { content }, .. }) => Ok(content),
            _ => Err(no_such_file()),
        }
    }

    /// Removes a file that the customer calls by an id of its own. Repeated with the same key, it gets the first
    /// answer.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub async fn delete_client_file(
        &self,
        asker: Asker,
        file: ClientFile,
        key: Token,
        now: Timestamp,
    ) -> Result<(), VfsError> {
        let target = self.client_file(asker.customer, file).await?;
        let operation = Operation::Delete { target, kind: Kind::File, recursive: false };
        self.perform(asker, Request { key: Some(key), operation }, now).await.map(drop)
    }

    async fn client_file(&self, customer: CustomerId, file: ClientFile) -> Result<Target, VfsError> {
        let folder = self.store.client_files(customer).await.map_err(told)?.ok_or_else(no_such_file)?;
        row_of(folder, file).map_err(Failure::into_vfs_error)
    }

    /// Gives up the reference of an upload, unless a row holds it: looked at where rows are changed, so that a row
    /// made meanwhile keeps it. Durable when this returns; the cluster hears of it soon after.
    ///
    /// # Errors
    /// `Unavailable` and `Superseded`: the reference stays, and is an orphan some day.
    pub async fn give_up(
        &self,
        reference: Reference,
        stamp: Option<Stamp>,
        now: Timestamp,
    ) -> Result<(), VfsError> {
        self.store.give_up_unheld(reference, stamp, now).await.map_err(Failure::into_vfs_error)
    }

    /// Waits until the cluster has given up what [`Self::give_up`] was told, for a moment at most: a node that is away hears
    /// of it later.
    pub async fn await_release(&self, reference: Reference) {
        if let Ok(Err(failure)) = timeout(RELEASE_WAIT, self.store.released(reference)).await {
            failure.into_vfs_error(); // Told to the log there.
        }
    }

    /// Who asks: the certificate is his, the ticket signs the document (VFS-9, SRL-12).
    async fn authenticate(
        &self,
        srl: &SignedSrl,
        document: &[u8],
        now: Timestamp,
    ) -> Result<CustomerId, DocumentError> {
        let secrets = self.secrets(srl.request()?.customer, now).await?;
        let request = srl.authenticate(&secrets, seconds(now))?;
        if !matches!(request.operation, SrlOperation::Control { .. }) {
            return Err(SrlError::NotAllowed.into());
        }
        check_control_ticket(&request, &secrets, document)?;
        Ok(request.customer)
    }

    async fn secrets(&self, customer: CustomerId, now: Timestamp) -> Result<Arc<[Secret]>, StoreError> {
        let known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).get(&customer).cloned();
        // Before the look, so that a change during it is not missed.
        let access = self.store.access_seen();
        if let Some(known) = known
            && now < known.until
            && known.access == access
        {
            return Ok(known.secrets);
        }
        let secrets: Arc<[Secret]> = self.store.access(customer).await?.secrets.into();
        let mut cache = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        cache.retain(|_, known| now < known.until && known.access == access);
        // Guessed customer ids take no room.
        if !secrets.is_empty() && cache.len() < SECRETS_MAX {
            let until = after(now, SECRETS_FRESH);
            cache.insert(customer, KnownSecrets { until, access, secrets: Arc::clone(&secrets) });
        }
        Ok(secrets)
    }

    /// As many replies as requests.
    async fn change(&self, asker: &Asker, requests: Vec<Request>, now: Timestamp) -> Vec<Reply> {
        let mut changes = Vec::with_capacity(requests.len());
        for request in requests {
            changes.push(self.prepare(asker, request, now).await);
        }
        self.store.change(asker.clone(), changes, now).await
    }

    /// Finds out what the writer needs to know of an operation's upload.
    async fn prepare(&self, asker: &Asker, request: Request, now: Timestamp) -> Prepared {
        let customer = asker.customer;
        let Some(upload) = upload_of(&request.operation) else {
            return Ok(Change { request, verified: None });
        };
        // The first answer stands even if its reference has been given up since. Then the repetition has stored the
        // object again for nothing, and that has to be given up as well.
        if let Some(key) = request.key {
            let first = self.store.recall(customer, key, now).await;
            if let Some(first) = first.map_err(|failure| Err(failure.into_vfs_error()))? {
                self.give_up(Reference::of(customer, upload), asker.stamp.clone(), now).await.map_err(Err)?;
                return Err(replies::repeated(first, &request.operation));
            }
        }
        let verified = self.verify(customer, upload, now).await.map_err(Err)?;
        Ok(Change { request, verified: Some(verified) })
    }

    /// Asks the cluster whether it holds what the row shall point to (VFS-17): before the transaction, so that the
    /// writer never waits for a network.
    async fn verify(
        &self,
        customer: CustomerId,
        upload: Upload,
        now: Timestamp,
    ) -> Result<Verified, VfsError> {
        let Upload { content, token } = upload;
        if content.fingerprint == Content::EMPTY.fingerprint {
            return match content == Content::EMPTY {
                true => Ok(Verified { content, token: None, asked: now }),
                false => Err(no_such_object().into_vfs_error()),
            };
        }
        match self.cluster.has_reference(customer, &content, token).await {
            Ok(true) => Ok(Verified { content, token: Some(token), asked: now }),
            Ok(false) => Err(no_such_object().into_vfs_error()),
            Err(error) => Err(VfsError::unavailable(error.to_string())),
        }
    }

    /// Changes after `since`, or the first that comes within the wait.
    async fn changes(&self, customer: CustomerId, since: FeedPosition, wait_ms: u32) -> Reply {
        let deadline = Instant::now() + Duration::from_millis(wait_ms.into()).min(WAIT_MAX);
        // Before the first look, so that no change falls between the two.
        let mut feed = self.store.watch_feed(customer);
        let mut waiting = None;
        loop {
            let found = self.store.query(customer, Query::Changes { since }).await;
            let answered = found.map_err(Failure::into_vfs_error)?;
            let is_news = matches!(&answered.answer,
                Answer::Changes { changes, reset, .. } if *reset || !changes.is_empty());
            if is_news || Instant::now() >= deadline {
                return Ok(answered);
            }
            if waiting.is_none() {
                let permit = self.waiters.try_acquire();
                waiting = Some(
                    permit
                        .map_err(|_| VfsError::unavailable("too many wait for changes; try again later"))?,
                );
            }
            // Time up, or the channel was renewed: either way the next look decides.
            let _ = timeout_at(deadline, feed.changed()).await;
        }
    }
}

fn decode(document: &[u8]) -> Result<Document, DocumentError> {
    xml::decode_requests(document).map_err(|error| DocumentError::Malformed(error.to_string()))
}

fn told(error: StoreError) -> VfsError {
    Failure::from(error).into_vfs_error()
}

fn no_such_file() -> VfsError {
    VfsError { code: VfsErrorCode::NotFound, message: "the customer has no such file".to_owned() }
}
