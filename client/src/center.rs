//! [`Center`]: requests to the VFS.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use protocol::pair::Stamp;
use protocol::srl::{
    AccessMethod, Secret, SignedSrl, SrlKind, SrlOperation, SrlRequest, SrlVersion, control_ticket,
};
use protocol::vfs::xml::{REPLIES_BYTES_MAX, decode_replies, encode_requests};
use protocol::vfs::{Answered, OPERATIONS_MAX, Operation, REQUEST_BYTES_MAX, Reply, Request, VfsErrorCode};
use tokio::time::Instant;

use crate::batch::Gathering;
use crate::error::ClientError;
use crate::pool::Pool;
use crate::random;
use crate::settings::{Endpoint, Settings, SettingsError};
use crate::transport::{Answer, Exchange, Payload, Transport};

/// How long a signature of ours is good: more than any deadline and clock error, less than is of use to a thief.
const EXPIRES_AFTER_SECONDS: u64 = 300;

/// A storage center, on behalf of one customer. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Center {
    shared: Arc<Shared>,
    deadline: Duration,
}

struct Shared {
    settings: Settings,
    /// The secret that counts; that of `settings` is the first.
    secret: RwLock<Arc<Secret>>,
    /// Of changes.
    stamp: RwLock<Option<Stamp>>,
    transport: Transport,
    ddm: Pool,
    dosm: Pool,
    gathering: Gathering,
}

impl Center {
    /// Connects to nothing yet.
    ///
    /// ```no_run
    /// use client::{Center, Settings};
    /// use protocol::id::CustomerId;
    /// use protocol::srl::Secret;
    ///
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let secret = Secret::from_file_content(&std::fs::read("customer-1.secret")?)?;
    /// let managers = |port| vec![format!("https://a.example:{port}"), format!("https://b.example:{port}")];
    /// let mut settings = Settings::new(managers(8080), managers(8081), CustomerId(1), secret);
    /// settings.ca_certificates = Some(std::fs::read("authority.pem")?);
    /// let center = Center::new(settings)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SettingsError`]: mend the settings.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let deadline = settings.deadline;
        let shared = Shared {
            ddm: Pool::parse("ddm", &settings.ddm)?,
            dosm: Pool::parse("dosm", &settings.dosm)?,
            transport: Transport::new(settings.connect_timeout, settings.ca_certificates.as_deref())?,
            secret: RwLock::new(Arc::new(settings.secret.clone())),
            stamp: RwLock::default(),
            gathering: Gathering::default(),
            settings,
        };
        Ok(Self { shared: Arc::new(shared), deadline })
    }

    /// The same center with another deadline for the calls through this value.
    ///
    /// ```no_run
    /// # async fn example(center: client::Center) -> Result<(), client::ClientError> {
    /// // Is it there? Not for longer than a second.
    /// center.with_deadline(std::time::Duration::from_secs(1)).probe().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { shared: self.shared.clone(), deadline }
    }

    /// Signs with another secret from now on, through every clone; requests on their way end with the old one.
    ///
    /// ```no_run
    /// # fn example(center: &client::Center) -> Result<(), Box<dyn std::error::Error>> {
    /// // The center accepts the old one until the next is made.
    /// center.set_secret(protocol::srl::Secret::from_file_content(&std::fs::read("customer-1.secret")?)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_secret(&self, secret: Secret) {
        *self.shared.secret.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(secret);
    }

    /// In which generation changes are asked for from now on.
    pub(crate) fn replace_stamp(&self, stamp: Option<Stamp>) {
        *self.shared.stamp.write().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    /// In which generation changes are asked for.
    pub(crate) fn stamp_now(&self) -> Option<Stamp> {
        self.shared.stamp.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The secret requests are signed with.
    pub(crate) fn secret(&self) -> Arc<Secret> {
        Arc::clone(&self.shared.secret.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does one to [`OPERATIONS_MAX`] operations in order, and gives one reply for each. A changing operation
    /// without a key gets one, so that trying again is safe. A CHANGES operation may take its waiting time longer
    /// than the deadline.
    ///
    /// ```no_run
    /// # async fn example(center: client::Center) -> Result<(), client::ClientError> {
    /// use protocol::vfs::{Operation, Request};
    ///
    /// let ask = |operation| Request { key: None, operation };
    /// let replies = center.vfs(vec![ask(Operation::OpenRoot), ask(Operation::Usage)]).await?;
    /// for reply in replies {
    ///     match reply {
    ///         Ok(answered) => println!("at {:?}: {:?}", answered.position, answered.answer),
    ///         Err(refused) => println!("{:?}: {}", refused.code, refused.message),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any but [`ClientError::Vfs`], which stands in the replies. After [`ClientError::Unavailable`] it is not known
    /// what was done: ask again with the same keys.
    pub async fn vfs(&self, requests: Vec<Request>) -> Result<Vec<Reply>, ClientError> {
        let stamp = self.stamp_now();
        self.ask(requests, stamp).await
    }

    async fn ask(&self, mut requests: Vec<Request>, stamp: Option<Stamp>) -> Result<Vec<Reply>, ClientError> {
        requests.iter_mut().for_each(give_key);
        self.converse_until(&requests, stamp, |replies| {
            replies.iter().find_map(|reply| match reply {
                Err(error) if error.code == VfsErrorCode::Unavailable => Some(error.message.clone()),
                _ => None,
            })
        })
        .await
    }

    /// Does one operation; a change perhaps in one document with other changes of clones of this value.
    ///
    /// ```no_run
    /// use protocol::id::{ObjectId, FeedPosition};
    /// use protocol::name::Name;
    /// use protocol::vfs::{Answer, Existing, Kind, Operation, Request, Target, Versioned, VfsErrorCode};
    ///
    /// # use client::{Center, ClientError};
    /// # async fn example(center: Center, album: ObjectId, old: Name, new: Name) -> Result<(), ClientError> {
    /// let ask = |operation| center.operate(Request { key: None, operation });
    ///
    /// // The root folder, and a folder's entries, 500 at a time. With `srl_expires` each comes with its SRL.
    /// let Answer::Row(root) = ask(Operation::OpenRoot).await?.answer else { return Ok(()) };
    /// let mut after = None;
    /// loop {
    ///     let operation = Operation::OpenFolder { folder: root.id, after, limit: 500, srl_expires: None };
    ///     let Answer::Folder { entries, more, .. } = ask(operation).await?.answer else { break };
    ///     entries.iter().for_each(|row| println!("{:?} {:?}", row.name, row.body));
    ///     after = entries.last().map(|row| row.id);
    ///     if !more {
    ///         break;
    ///     }
    /// }
    ///
    /// // A file by its name. That it is not there is a refusal like any other.
    /// let target = Target::Name(album, old.clone());
    /// match ask(Operation::Open { target: target.clone(), srl_expires: None }).await {
    ///     Ok(answered) => println!("{:?}", answered.answer),
    ///     Err(error) if error.vfs_code() == Some(VfsErrorCode::NotFound) => println!("not there"),
    ///     Err(error) => return Err(error),
    /// }
    ///
    /// // A folder; an empty file, unless there is one; another name for it; new metadata, if nobody else changed it.
    /// ask(Operation::CreateFolder { parent: root.id, name: new.clone(), metadata: Vec::new() }).await?;
    /// let (upload, existing) = (None, Existing::Open);
    /// let create = Operation::CreateFile { parent: album, name: old, metadata: Vec::new(), upload, existing };
    /// let Answer::Changed(made) = ask(create).await?.answer else { return Ok(()) };
    /// let name = new.clone();
    /// ask(Operation::Move { target: target.clone(), kind: None, parent: album, name, replace: true }).await?;
    /// if let Some(row) = made.row {
    ///     let (id, if_version, metadata) = (row.id, Some(row.version + 1), Some(b"mine".to_vec()));
    ///     ask(Operation::Update { id, if_version, metadata, modified: None, changed: None, upload: None }).await?;
    /// }
    ///
    /// // Away with it; a folder goes with everything below it, if `recursive`.
    /// let target = Target::Name(album, new.clone());
    /// ask(Operation::Delete { target, kind: Kind::File, recursive: false }).await?;
    ///
    /// // Back again, where the center keeps what was deleted: the newest version of that name, under its old name.
    /// let list = Operation::Versions { of: Versioned::Name(album, new), after: None, limit: 1_000 };
    /// let Answer::Versions { versions, .. } = ask(list).await?.answer else { return Ok(()) };
    /// if let Some(newest) = versions.last() {
    ///     ask(Operation::Restore { version: newest.id, parent: None, name: None, replace: false }).await?;
    /// }
    ///
    /// // Quota and use; then whatever changes, waiting half a minute for the first of it.
    /// let now = ask(Operation::Usage).await?;
    /// let Answer::Usage(usage) = now.answer else { return Ok(()) };
    /// println!("{} of {:?} bytes", usage.bytes_used, usage.bytes_quota);
    /// let changes = ask(Operation::Changes { since: now.position, wait_ms: 30_000 }).await?;
    /// # let _: FeedPosition = changes.position;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ClientError`]; the VFS's refusal is [`ClientError::Vfs`].
    pub async fn operate(&self, mut request: Request) -> Result<Answered, ClientError> {
        let until = Instant::now() + self.deadline;
        let stamp = self.stamp_now();
        give_key(&mut request);
        let alone = match self.change_with_others(request, until).await {
            Ok(reply) => return Ok(reply??),
            Err(alone) => alone,
        };
        let center = self.with_deadline(until.saturating_duration_since(Instant::now()));
        // As many replies as requests.
        let reply = center.ask(vec![alone.request], stamp).await?.pop();
        Ok(reply.ok_or_else(|| ClientError::Invalid("no operation".to_owned()))??)
    }

    /// One document and its replies, those included that say "not now".
    pub(crate) async fn converse(
        &self,
        requests: &[Request],
        stamp: Option<Stamp>,
    ) -> Result<Vec<Reply>, ClientError> {
        self.converse_until(requests, stamp, |_| None).await
    }

    /// One document and its replies; sent again while `not_now` finds a reason in them.
    async fn converse_until(
        &self,
        requests: &[Request],
        stamp: Option<Stamp>,
        not_now: impl Fn(&[Reply]) -> Option<String>,
    ) -> Result<Vec<Reply>, ClientError> {
        if requests.is_empty() || requests.len() > OPERATIONS_MAX {
            return Err(ClientError::Invalid(format!("a request has 1 to {OPERATIONS_MAX} operations")));
        }
        let stamp = stamp.filter(|_| requests.iter().any(|request| request.operation.is_written()));
        let document = Bytes::from(encode_requests(requests, stamp.as_ref()));
        if document.len() > REQUEST_BYTES_MAX {
            return Err(ClientError::Invalid(format!("a request has at most {REQUEST_BYTES_MAX} bytes")));
        }
        let ticket = control_ticket(SrlVersion::HmacSha256, &self.secret(), &document);
        let path = self.sign(SrlOperation::Control { ticket }).path(b"");
        let exchange = Exchange {
            method: Method::POST,
            path: format!("/vfs/v1{}", path.trim_end_matches('/')),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/xml"))]),
            payload: Payload::Document(document),
            answer_bytes_max: REPLIES_BYTES_MAX,
            is_transfer: false,
        };
        let wait = requests.iter().map(|request| wait(&request.operation)).max().unwrap_or_default();
        self.exchange(&self.shared.ddm, &exchange, wait, |endpoint, answer| {
            let wrong = |why: String| ClientError::Protocol { endpoint: endpoint.to_string(), why };
            let replies = decode_replies(&answer.body).map_err(|error| wrong(error.to_string()))?;
            if replies.len() != requests.len() {
                return Err(wrong(format!("{} replies to {} requests", replies.len(), requests.len())));
            }
            match not_now(&replies) {
                Some(why) => Err(ClientError::Unavailable { endpoint: endpoint.to_string(), why }),
                None => Ok(replies),
            }
        })
        .await
    }

    pub(crate) fn gathering(&self) -> &Gathering {
        &self.shared.gathering
    }

    /// What a call gets that heard nothing until its deadline.
    pub(crate) fn late(&self) -> ClientError {
        let why = format!("no answer within {:.1} s", self.deadline.as_secs_f64());
        ClientError::Unavailable { endpoint: self.shared.ddm.first().to_string(), why }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn dosm(&self) -> &Pool {
        &self.shared.dosm
    }

    /// A storage port's SRL, good for some minutes.
    pub(crate) fn sign(&self, operation: SrlOperation) -> SignedSrl {
        let Settings { customer, now, .. } = self.settings();
        let request = SrlRequest {
            kind: SrlKind::Standard,
            version: SrlVersion::HmacSha256,
            expires: now() + EXPIRES_AFTER_SECONDS,
            access: AccessMethod::StoragePort,
            customer: *customer,
            operation,
        };
        request.sign(&self.secret())
    }

    /// Tries `exchange` at the endpoints of `pool`, until this value's deadline.
    pub(crate) async fn exchange<T>(
        &self,
        pool: &Pool,
        exchange: &Exchange,
        wait: Duration,
        read: impl Fn(&Endpoint, Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        pool.exchange(&self.shared.transport, self.deadline, exchange, wait, read).await
    }

    /// Reads the head of what a path of a DOSM gives.
    pub(crate) async fn look<T>(
        &self,
        path: String,
        read: impl Fn(&Endpoint, Answer) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.dosm().look(&self.shared.transport, self.deadline, path, read).await
    }
}

/// A change without a key gets one.
fn give_key(request: &mut Request) {
    if request.key.is_none() && request.operation.is_change() {
        request.key = Some(random::token());
    }
}

fn wait(operation: &Operation) -> Duration {
    match operation {
        Operation::Changes { wait_ms, .. } => Duration::from_millis(u64::from(*wait_ms)),
        _ => Duration::ZERO,
    }
}
