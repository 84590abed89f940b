//! The directory database as the rest of the center sees it: every operation, asynchronous and durable.
//!
//! Owns the writer, the readers and those who wait for changes. Asks nothing of the storage cluster: uploads come here
//! verified (see [`DirectoryManager`](super::DirectoryManager)).

use std::sync::Arc;
use std::time::Duration;

use protocol::digest::{Content, Fingerprint};
use protocol::dosp::operations::{AccessNewsOut, AccessOut};
use protocol::dosp::{NEWS_MAX, Reference};
use protocol::id::{CustomerId, ObjectId, Timestamp, Token};
use protocol::name::Name;
use protocol::pair::{Asker, LeaseQuestion, Member, PairName, Stamp};
use protocol::srl::Secret;
use protocol::vfs::{Answer, Answered, Operation, Reply, Request, VfsError};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::access::{self, Revocation};
use super::client_files;
use super::customer::{self, Customer, NewCustomer, Quota};
use super::edit::{self, Edit, Finished, Verified};
use super::engine::{Database, Engine, News, in_savepoint};
use super::failure::{Failure, StoreError};
use super::feed::Waiters;
use super::mirror::{self, Keep, Mirror, Names};
use super::nodes::{self, KnownNode};
use super::outbox::{self, Release};
use super::pairs::{self, Pair};
use super::query::{self, Query};
use super::readers::Readers;
use super::references::{self, Held};
use super::replies;
use super::tree::Tree;
use super::versions::{self, Retention};
use super::writer::Writer;

/// The directory database. Clones share it.
#[derive(Clone)]
pub struct MetaStore {
    writer: Writer,
    readers: Readers,
    waiters: Arc<Waiters>,
    work_left: Arc<Notify>,
    settled: Arc<Notify>,
    /// The number of the last change of anybody's access that was seen.
    access: watch::Sender<u64>,
    mirror: Option<Mirror>,
    /// For how long versions are kept, of customers for whom nothing else is said.
    retention: Retention,
    /// Hears of the changes of other directory managers.
    _listening: Option<Arc<AbortOnDropHandle<()>>>,
}

/// How often to look whether a reference was released, without being told: another directory manager may have done it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often to look whether anybody's access changed: a part of the second within which it is in force everywhere.
const ACCESS_LOOK_EVERY: Duration = Duration::from_millis(200);

impl MetaStore {
    /// Opens the database, creating it if needed. Of SQLite's, several processes may have it open, of which one should
    /// serve; of PostgreSQL's, all may.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open(engine: Engine) -> Result<Self, StoreError> {
        Self::open_mirrored(engine, None, Keep::default()).await
    }

    /// The same for one of several centers that mirror each other, where `names` are given. Only SQLite's databases are
    /// mirrored by this.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open_mirrored(engine: Engine, names: Option<Names>, keep: Keep) -> Result<Self, StoreError> {
        let waiters: Arc<Waiters> = Arc::default();
        let listening = match &engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(server) => {
                let (server, waiters) = (server.clone(), Arc::clone(&waiters));
                let hear = move |news| match news {
                    News::Changed(customer) => waiters.wake(customer),
                    News::Missed => waiters.wake_all(),
                };
                let listening = tokio::spawn(async move { server.listen(hear).await });
                Some(Arc::new(AbortOnDropHandle::new(listening)))
            }
        };
        let readers = Readers::new(engine.clone());
        let beside = (readers.clone(), Arc::clone(&waiters));
        let starting = tokio::task::spawn_blocking(move || {
            engine.prepare()?;
            let mirror = match (&engine, names) {
                (Engine::Sqlite(path), Some(names)) => {
                    Some(Mirror::open(path, names, beside.0, beside.1, keep)?)
                }
                _ => None,
            };
            if mirror.is_none() {
                mirror::refuse_mirrored(&engine)?;
            }
            let writer = Writer::start(engine, mirror.clone())?;
            Ok::<_, StoreError>((writer, mirror))
        });
        let (writer, mirror) = starting.await.map_err(|_| StoreError::Closed)??;
        Ok(Self {
            writer,
            mirror,
            readers,
            waiters,
            work_left: Arc::default(),
            settled: Arc::default(),
            access: watch::Sender::new(0),
            retention: Retention::default(),
            _listening: listening,
        })
    }

    /// The same store, in which what is deleted and overwritten is kept for so long.
    pub fn keeping(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// Its mirrored side, if it has one.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// Adds a customer with an empty root folder.
    pub async fn add_customer(&self, new: NewCustomer, now: Timestamp) -> Result<Customer, StoreError> {
        self.writer.write(Vec::new(), move |db| customer::add(db, &new, now), |_| ()).await
    }

    /// All customers, by id.
    pub async fn customers(&self) -> Result<Vec<Customer>, StoreError> {
        self.readers.read(customer::list).await
    }

    /// Sets a customer's limits.
    pub async fn set_quota(&self, id: CustomerId, quota: Quota) -> Result<Customer, StoreError> {
        self.writer.write(vec![id], move |db| customer::set_quota(db, id, quota), |_| ()).await
    }

    /// Sets for how long what the customer deletes and overwrites is kept, in seconds; `None`: as the configuration says.
    pub async fn set_keep(&self, id: CustomerId, seconds: Option<u32>) -> Result<Customer, StoreError> {
        self.writer.write(vec![id], move |db| customer::set_keep(db, id, seconds), |_| ()).await
    }

    /// Gives a customer a new secret; the one before stays valid until the next rotation.
    pub async fn rotate_secret(&self, id: CustomerId, secret: Secret) -> Result<(), StoreError> {
        self.writer.write(vec![id], move |db| customer::rotate_secret(db, id, &secret), |()| ()).await
    }

    /// Takes the secret before the present one back.
    pub async fn retire_secret(&self, id: CustomerId) -> Result<(), StoreError> {
        self.writer.write(vec![id], move |db| customer::retire_secret(db, id), |()| ()).await
    }

    /// Refuses every SRL of the customer, or accepts them again.
    pub async fn suspend(&self, id: CustomerId, suspended: bool) -> Result<(), StoreError> {
        self.writer.write(vec![id], move |db| access::suspend(db, id, suspended), |()| ()).await
    }

    /// Refuses what has these marks, whoever signed it.
    pub async fn revoke(
        &self,
        id: CustomerId,
        revocations: Vec<Revocation>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.write(vec![id], move |db| access::revoke(db, id, &revocations, now), |()| ()).await
    }

    /// Accepts again what has these marks.
    pub async fn restore(&self, id: CustomerId, revocations: Vec<Revocation>) -> Result<(), StoreError> {
        self.writer.write(vec![id], move |db| access::restore(db, id, &revocations), |()| ()).await
    }

    /// What is revoked of the customer's, one by one.
    pub async fn revocations(&self, id: CustomerId) -> Result<Vec<Revocation>, StoreError> {
        self.readers.read(move |db| access::list(db, id)).await
    }

    /// The marks of a path: of a file's contents, or of a folder and all that is below it now.
    ///
    /// # Errors
    /// No such file or folder, or more than can be revoked one by one.
    pub async fn marks_below(&self, id: CustomerId, path: Vec<Name>) -> Result<Vec<Revocation>, VfsError> {
        let found = self.readers.read(move |db| access::below(db, id, &path)).await;
        found.map_err(Failure::into_vfs_error)
    }

    /// By what the customer's SRLs are checked; no secrets for a customer who is not there, or is suspended.
    pub async fn access(&self, id: CustomerId) -> Result<AccessOut, StoreError> {
        self.readers.read(move |db| access::read(db, id)).await
    }

    /// Whose access changed after the change with this number; 0 asks only for the number of the last one. Waits for the
    /// first change for as long as `patience`; needs [`Self::watch_access`] beside it.
    pub async fn access_news(&self, since: u64, patience: Duration) -> Result<AccessNewsOut, StoreError> {
        if since == 0 {
            let until = self.readers.read(access::generation).await?;
            return Ok(AccessNewsOut { until, customers: Vec::new() });
        }
        let mut seen = self.access.subscribe();
        // No news within the patience are an answer too.
        let _ = timeout(patience, seen.wait_for(|number| *number > since)).await;
        self.readers.read(move |db| access::news(db, since, NEWS_MAX)).await
    }

    /// The number of the last change of anybody's access that was seen.
    pub(super) fn access_seen(&self) -> u64 {
        *self.access.borrow()
    }

    /// Looks for changes of anybody's access, which come from commands that work on the database, until dropped.
    pub async fn watch_access(self) {
        loop {
            match self.readers.read(access::generation).await {
                Ok(number) => {
                    _ = self.access.send_if_modified(|seen| std::mem::replace(seen, number) != number)
                }
                Err(error) => tracing::debug!(%error, "changes of customers' access are not seen"),
            }
            sleep(ACCESS_LOOK_EVERY).await;
        }
    }

    /// Registers where a customer's end users are sent after an upload, or takes it back (DOSM-18).
    pub async fn set_upload_page(&self, id: CustomerId, url: Option<String>) -> Result<(), StoreError> {
        self.writer
            .write(vec![id], move |db| customer::set_upload_page(db, id, url.as_deref()), |()| ())
            .await
    }

    /// Where a customer's end users are sent after an upload, if that is registered.
    pub async fn upload_page(&self, id: CustomerId) -> Result<Option<String>, StoreError> {
        self.readers.read(move |db| customer::upload_page(db, id)).await
    }

    /// Sets on which hosts the customer's callbacks may lie, joined by spaces; `None` for none (SRL-10).
    pub async fn set_callback_hosts(&self, id: CustomerId, hosts: Option<String>) -> Result<(), StoreError> {
        self.writer
            .write(vec![id], move |db| customer::set_callback_hosts(db, id, hosts.as_deref()), |()| ())
            .await
    }

    /// On which hosts the customer's callbacks may lie, joined by spaces.
    pub async fn callback_hosts(&self, id: CustomerId) -> Result<Option<String>, StoreError> {
        self.readers.read(move |db| customer::callback_hosts(db, id)).await
    }

    /// The folder of the files that the customer calls by ids of its own, if it has stored one.
    pub(super) async fn client_files(&self, id: CustomerId) -> Result<Option<ObjectId>, StoreError> {
        self.readers.read(move |db| client_files::folder(db, id)).await
    }

    /// The same, made if it is not there.
    pub(super) async fn make_client_files(
        &self,
        id: CustomerId,
        now: Timestamp,
    ) -> Result<ObjectId, StoreError> {
        self.writer.write(vec![id], move |db| client_files::make_folder(db, id, now), |_| ()).await
    }

    /// References the customer's rows hold, in order of fingerprint and token, after the given one; at most 1,000. An
    /// empty page is the end (REF-4).
    pub async fn references(
        &self,
        customer: CustomerId,
        after: Option<(Fingerprint, Token)>,
    ) -> Result<Vec<Held>, StoreError> {
        self.readers.read(move |db| references::page(db, customer, after, references::PAGE_MAX)).await
    }

    /// Whether a row holds the reference or the outbox will release it. If not, and it is older than the grace time,
    /// it is an orphan (REF-4).
    pub async fn is_referenced(
        &self,
        customer: CustomerId,
        fingerprint: Fingerprint,
        token: Token,
    ) -> Result<bool, StoreError> {
        self.readers.read(move |db| references::is_referenced(db, customer, fingerprint, token)).await
    }

    /// Applies changes in order, or recalls the answers of those whose keys are known. The answers are durable, and
    /// each stands for its own change: one that is refused takes no other with it. Those of a port of a pair are all
    /// refused if a newer generation than its own is in force.
    pub(super) async fn change(&self, asker: Asker, changes: Vec<Prepared>, now: Timestamp) -> Vec<Reply> {
        let Asker { customer, stamp } = asker;
        let waiters = Arc::clone(&self.waiters);
        let work_left = Arc::clone(&self.work_left);
        let committed = move |outcomes: &Vec<Outcome>| {
            if outcomes.iter().any(|outcome| outcome.reply.is_ok()) {
                waiters.wake(customer);
            }
            if outcomes.iter().any(|outcome| outcome.leaves_work) {
                work_left.notify_one();
            }
        };
        let (count, retention) = (changes.len(), self.retention);
        let apply_all = move |db: &dyn Database| -> Result<Vec<Outcome>, Failure> {
            stamp.iter().try_for_each(|stamp| pairs::admit(db, customer, stamp))?;
            replies::forget(db, now, 2 * count)?;
            Ok(changes.into_iter().map(|prepared| perform(db, customer, prepared, now, retention)).collect())
        };
        match self.writer.write_each(vec![customer], count, apply_all, committed).await {
            Ok(outcomes) => outcomes.into_iter().map(|outcome| outcome.reply).collect(),
            Err(failure) => vec![Err(failure.into_vfs_error()); count],
        }
    }

    /// Answers what a port asks about its pair's lease. Durable when this returns.
    pub(super) async fn lease(
        &self,
        asker: impl Into<Asker>,
        pair: PairName,
        member: Member,
        question: LeaseQuestion,
    ) -> Result<Answered, Failure> {
        let Asker { customer, stamp } = asker.into();
        // Whose turn it is in his own pair he may ask, whatever he thinks of it.
        let stamp = stamp.filter(|stamp| stamp.pair != pair);
        let ask = move |db: &dyn Database| -> Result<Answered, Failure> {
            stamp.iter().try_for_each(|stamp| pairs::admit(db, customer, stamp))?;
            let position = Tree::open(db, customer)?.account.position;
            let answer = Answer::Lease(pairs::ask(db, customer, &pair, member, question)?);
            Ok(Answered { position, answer })
        };
        self.writer.write(vec![customer], ask, |_| ()).await
    }

    /// All pairs of ports, by customer and name.
    pub async fn pairs(&self) -> Result<Vec<Pair>, StoreError> {
        self.readers.read(pairs::list).await
    }

    /// Takes the lease of a pair back, whoever has it; the pair since.
    pub async fn release_pair(&self, id: CustomerId, name: PairName) -> Result<Pair, StoreError> {
        self.writer.write(vec![id], move |db| pairs::release(db, id, &name), |_| ()).await
    }

    /// Releases the reference of an upload, unless a row holds it.
    pub(crate) async fn give_up_unheld(
        &self,
        reference: Reference,
        stamp: Option<Stamp>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Reference { fingerprint, customer, token } = reference;
        if fingerprint == Content::EMPTY.fingerprint {
            return Ok(());
        }
        let give_up = move |db: &dyn Database| -> Result<(), Failure> {
            stamp.iter().try_for_each(|stamp| pairs::admit(db, customer, stamp))?;
            match references::holder(db, customer, fingerprint, token)? {
                Some(_) => Ok(()),
                None => outbox::add(db, customer, fingerprint, token, now),
            }
        };
        let work_left = Arc::clone(&self.work_left);
        self.writer.write(vec![customer], give_up, move |()| work_left.notify_one()).await
    }

    /// Returns when the reference is on its way out no more: the cluster has acknowledged its release, or there was none.
    pub(super) async fn released(&self, reference: Reference) -> Result<(), Failure> {
        loop {
            // Before the look, so that what is settled between the two is not missed.
            let settled = self.settled.notified();
            if !self.readers.read(move |db| outbox::is_pending(db, reference)).await? {
                return Ok(());
            }
            // Not to be told is no failure: the next look is due anyway.
            let _ = timeout(LOOK_EVERY, settled).await;
        }
    }

    /// Answers an operation that changes nothing.
    pub(super) async fn query(&self, customer: CustomerId, query: Query) -> Result<Answered, Failure> {
        self.readers.read(move |db| query::answer(db, customer, &query)).await
    }

    /// The answer remembered under this key.
    pub(super) async fn recall(
        &self,
        customer: CustomerId,
        key: Token,
        now: Timestamp,
    ) -> Result<Option<Reply>, Failure> {
        self.readers.read(move |db| replies::recall(db, customer, key, now)).await
    }

    /// Is told of every change of the customer's from now on.
    pub(super) fn watch_feed(&self, customer: CustomerId) -> watch::Receiver<()> {
        self.waiters.subscribe(customer)
    }

    /// Returns when a change may have left work for the housekeeping.
    pub(super) async fn work_left(&self) {
        self.work_left.notified().await;
    }

    /// One step of clearing up after recursive deletes; whether more may be left.
    pub(super) async fn sweep(&self, now: Timestamp) -> Result<bool, Failure> {
        let (waiters, retention) = (Arc::clone(&self.waiters), self.retention);
        let Some(customer) = self.readers.read(edit::to_sweep).await? else { return Ok(false) };
        let sweep = move |db: &dyn Database| edit::sweep(db, customer, now, retention);
        self.writer.write(vec![customer], sweep, move |()| waiters.wake(customer)).await?;
        Ok(true)
    }

    /// One step of removing versions that are too old, or too much; whether more may be left.
    pub(super) async fn expire(&self, now: Timestamp) -> Result<bool, Failure> {
        let retention = self.retention;
        let found = self.readers.read(move |db| versions::to_expire(db, now, retention)).await?;
        let Some(customer) = found else { return Ok(false) };
        let expire = move |db: &dyn Database| edit::expire(db, customer, now, retention);
        self.writer.write(vec![customer], expire, |_| ()).await?;
        Ok(true)
    }

    /// References to release now.
    pub(super) async fn releases_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Release>, Failure> {
        self.readers.read(move |db| outbox::due(db, now, limit)).await
    }

    /// Records which releases the cluster acknowledged, and puts the others off.
    pub(super) async fn settle(&self, releases: Vec<(Release, bool)>, now: Timestamp) -> Result<(), Failure> {
        let customers = releases.iter().map(|(release, _)| release.customer).collect();
        let settle = move |db: &dyn Database| -> Result<(), Failure> {
            releases.iter().try_for_each(|(release, acknowledged)| match acknowledged {
                true => outbox::acknowledge(db, release, now),
                false => outbox::postpone(db, release, now),
            })
        };
        let settled = Arc::clone(&self.settled);
        self.writer.write(customers, settle, move |()| settled.notify_waiters()).await
    }

    /// Remembers a storage node, or its new address.
    pub async fn remember_node(&self, node: KnownNode) -> Result<(), StoreError> {
        self.writer.write(Vec::new(), move |db| nodes::remember(db, node), |()| ()).await
    }

    /// Forgets a storage node that will not come back.
    pub async fn forget_node(&self, number: u32) -> Result<(), StoreError> {
        self.writer.write(Vec::new(), move |db| nodes::forget(db, number), |()| ()).await
    }

    /// Storage nodes there have ever been.
    pub async fn nodes(&self) -> Result<Vec<KnownNode>, StoreError> {
        self.readers.read(nodes::list).await
    }

    /// References still to be released, of all customers.
    pub async fn releases_pending(&self) -> Result<u64, StoreError> {
        self.readers.read(outbox::pending).await
    }
}

/// A change ready for the writer; or its answer, if that is already known.
pub(super) type Prepared = Result<Change, Reply>;

/// A changing operation, and what the cluster said of the contents it brings.
pub(super) struct Change {
    pub(super) request: Request,
    pub(super) verified: Option<Verified>,
}

/// What a change came to, if its transaction is committed.
pub(super) struct Outcome {
    pub(super) reply: Reply,
    leaves_work: bool,
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self { reply, leaves_work: false }
    }
}

/// Does one change of a transaction, or nothing of it when it fails.
pub(super) fn perform(
    db: &dyn Database,
    customer: CustomerId,
    prepared: Prepared,
    now: Timestamp,
    retention: Retention,
) -> Outcome {
    let done = prepared.map(|change| {
        let done = self::change(db, customer, &change, now, retention);
        done.unwrap_or_else(|failure| Err(failure.into_vfs_error()).into())
    });
    done.unwrap_or_else(Outcome::from)
}

/// A refusal is a result here and not an error, because it is remembered too.
fn change(
    db: &dyn Database,
    customer: CustomerId,
    change: &Change,
    now: Timestamp,
    retention: Retention,
) -> Result<Outcome, Failure> {
    let Change { request, verified } = change;
    if let Some(key) = request.key
        && let Some(first) = replies::recall(db, customer, key, now)?
    {
        return Ok(replies::repeated(first, &request.operation).into());
    }
    let remember = |reply: &Reply| match request.key {
        Some(key) if replies::is_memorable(reply) => replies::remember(db, customer, key, now, reply),
        _ => Ok(()),
    };
    let done = in_savepoint(db, |db| {
        let outcome = apply(db, customer, &request.operation, *verified, now, retention)?;
        remember(&outcome.reply)?;
        Ok(outcome)
    });
    match done {
        Err(Failure::Refused(error)) => {
            let reply = Err(error);
            remember(&reply)?;
            Ok(reply.into())
        }
        done => done,
    }
}

fn apply(
    db: &dyn Database,
    customer: CustomerId,
    operation: &Operation,
    verified: Option<Verified>,
    now: Timestamp,
    retention: Retention,
) -> Result<Outcome, Failure> {
    let mut edit = Edit::begin(db, customer, now, retention)?;
    let changed = edit.apply(operation, verified)?;
    let Finished { position, leaves_work } = edit.finish()?;
    Ok(Outcome { reply: Ok(Answered { position, answer: Answer::Changed(changed) }), leaves_work })
}
