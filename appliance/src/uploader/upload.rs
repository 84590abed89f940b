//! One upload: a staged file becomes an object of the cluster and the contents of its row (PORT-12).
//!
//! The order makes any crash harmless: the token is durable in the journal before anything is stored; the object is
//! stored before the row names it; the row names it before the journal forgets. Every step may be repeated.

use std::sync::Arc;

use client::Source;
use protocol::digest::Content;
use protocol::id::Token;
use protocol::vfs::{Body, Operation, Request, Row, Upload, VfsErrorCode};

use super::UploadError;
use super::contents::Contents;
use crate::center::{CenterError, StorageCenter};
use crate::customer::Customer;
use crate::host;
use crate::journal::{Base, FileKey, Journal, UploadSnapshot};
use crate::object::Keeping;

/// How often one upload begins again because somebody else changed the row meanwhile, before it gives way to others.
const ATTEMPTS: u32 = 8;

/// Uploads what `file` holds now. Writes taken meanwhile stay staged.
pub(super) async fn upload<C: StorageCenter>(
    journal: &Journal,
    customer: &Customer<C>,
    file: FileKey,
) -> Result<(), UploadError> {
    let mut stored = None;
    for attempt in 0..ATTEMPTS {
        let Some(snapshot) = journal.begin_upload(file, host::token(), host::now()).await? else {
            return Ok(());
        };
        let one = One { journal, customer, snapshot: Arc::new(snapshot) };
        match one.run(attempt, &mut stored).await? {
            Step::Done => return Ok(()),
            Step::Again => {}
        }
    }
    Err(UploadError::Contended)
}

enum Step {
    Done,
    Again,
}

/// Why contents are no object of the cluster.
struct NotStored {
    /// Which they are, if that was found out: the center may have a reference to them all the same.
    content: Option<Content>,
    error: UploadError,
}

impl<E: Into<UploadError>> From<E> for NotStored {
    fn from(error: E) -> Self {
        Self { content: None, error: error.into() }
    }
}

struct One<'a, C> {
    journal: &'a Journal,
    customer: &'a Customer<C>,
    snapshot: Arc<UploadSnapshot>,
}

impl<C: StorageCenter> One<'_, C> {
    /// `stored` remembers over attempts which object already lies in the cluster under which token.
    async fn run(&self, attempt: u32, stored: &mut Option<(Token, Content)>) -> Result<Step, UploadError> {
        let snapshot = &self.snapshot;
        let known = stored.filter(|(token, _)| *token == snapshot.token).map(|(_, content)| content);
        let content = match known {
            Some(content) => content,
            None => match self.store().await {
                Ok(content) => content,
                Err(not_stored) => return self.not_stored(not_stored).await,
            },
        };
        *stored = Some((snapshot.token, content));
        match self.update(content, attempt).await {
            Ok(row) => self.finish(content, row.version).await,
            Err(error) => match error.code() {
                Some(VfsErrorCode::VersionMismatch) => self.row_moved_on(content).await,
                Some(VfsErrorCode::NotFound) => self.file_is_gone(&content).await,
                Some(VfsErrorCode::NoSuchObject) => {
                    *stored = None;
                    Ok(Step::Again)
                }
                _ => Err(error.into()),
            },
        }
    }

    /// Makes the contents an object of the cluster.
    async fn store(&self) -> Result<Content, NotStored> {
        let snapshot = &self.snapshot;
        if snapshot.is_base() {
            return Ok(snapshot.base.content);
        }
        let keeping = self.keeping().await?;
        let objects = self.customer.objects.clone();
        let contents = Contents { snapshot: Arc::clone(snapshot), objects, keeping };
        let (content, digests) = contents.hash().await?;
        if content == snapshot.base.content || content == Content::EMPTY {
            return Ok(content);
        }
        if keeping == Keeping::Kept {
            self.customer.objects.keep_digests(&content, &digests).await;
        }
        tracing::debug!(file = %snapshot.file.file, token = %snapshot.token, object = %content.fingerprint, "storing");
        let digests = Arc::new(digests);
        let source = Source::new(move || contents.stream(content, Arc::clone(&digests)));
        let stored = self.customer.center.store(snapshot.token, &content, source).await;
        stored.map_err(|error| NotStored { content: Some(content), error: error.into() })?;
        Ok(content)
    }

    /// Whether the contents are kept in the cache. A file that is gone has no rule, and the steps that follow find it gone.
    async fn keeping(&self) -> Result<Keeping, CenterError> {
        match self.customer.rule_for(self.snapshot.file.file).await {
            Ok(rule) => Ok(Keeping::of(rule)),
            Err(error) if error.is_not_found() => Ok(Keeping::Passing),
            Err(error) => Err(error),
        }
    }

    /// Makes the object the contents of the row.
    async fn update(&self, content: Content, attempt: u32) -> Result<Row, CenterError> {
        let snapshot = &self.snapshot;
        // A rename or a new mode since the file was staged took the row on; the contents are what counts.
        let known = self.customer.directory.known(snapshot.file.file);
        let version = known
            .filter(|entry| content_of(&entry.row) == Some(snapshot.base.content))
            .map_or(snapshot.base.version, |entry| entry.row.version.max(snapshot.base.version));
        let is_new = content != snapshot.base.content;
        let operation = Operation::Update {
            id: snapshot.file.file,
            if_version: Some(version),
            metadata: None,
            modified: Some(snapshot.modified),
            changed: Some(snapshot.changed),
            upload: is_new.then_some(Upload { content, token: snapshot.token }),
        };
        let key = Some(update_key(snapshot.token, version, attempt));
        let changed = self.customer.directory.change(Request { key, operation }).await?;
        changed.row.ok_or_else(CenterError::unexpected_answer)
    }

    async fn finish(&self, content: Content, version: u64) -> Result<Step, UploadError> {
        let UploadSnapshot { file, token, .. } = *self.snapshot;
        tracing::debug!(file = %file.file, %token, version, "uploaded");
        self.journal.finish_upload(file, token, Base { content, version }, host::now()).await?;
        Ok(Step::Done)
    }

    /// Somebody changed the row between.
    async fn row_moved_on(&self, content: Content) -> Result<Step, UploadError> {
        let snapshot = &self.snapshot;
        let entry = match self.customer.directory.refresh(snapshot.file.file).await {
            Ok(entry) => entry,
            Err(error) if error.is_not_found() => return self.file_is_gone(&content).await,
            Err(error) => return Err(error.into()),
        };
        let version = entry.row.version;
        match content_of(&entry.row) {
            // Only the attributes: the same upload once more.
            Some(now) if now == snapshot.base.content => {
                self.journal.set_version(snapshot.file, version).await?;
                Ok(Step::Again)
            }
            // This very upload, made before a crash or by the other port of the pair.
            Some(now) if now == content => self.finish(content, version).await,
            // Other contents: what clients wrote here goes on top of them, as on one disk.
            Some(now) => {
                self.give_up(&content).await?;
                let base = Base { content: now, version };
                self.journal.rebase(snapshot.file, base, host::now()).await?;
                Ok(Step::Again)
            }
            None => self.file_is_gone(&content).await,
        }
    }

    /// What cannot be stored need not be, if the file is gone, has been written to since, or stands on other contents.
    async fn not_stored(&self, NotStored { content, error }: NotStored) -> Result<Step, UploadError> {
        let UploadSnapshot { file, base, .. } = *self.snapshot;
        let entry = match (self.customer.directory.refresh(file.file).await, content) {
            (Ok(entry), _) => entry,
            (Err(gone), Some(content)) if gone.is_not_found() => return self.file_is_gone(&content).await,
            (Err(gone), None) if gone.is_not_found() => return self.forget().await,
            (Err(_), _) => return Err(error),
        };
        let is_base_gone = matches!(&error, UploadError::Base(lost) if lost.is_not_found());
        let staged = self.journal.view(file);
        let onto = match content_of(&entry.row) {
            // What the file stood on is no longer in the cluster, for the row has other contents by now.
            Some(now) if is_base_gone && now != base.content => {
                Base { content: now, version: entry.row.version }
            }
            _ => match staged.filter(|staged| staged.is_written_since) {
                Some(staged) => staged.base,
                None => return Err(error),
            },
        };
        if let Some(content) = content {
            self.give_up(&content).await?;
        }
        self.journal.rebase(file, onto, host::now()).await?;
        Ok(Step::Again)
    }

    async fn file_is_gone(&self, content: &Content) -> Result<Step, UploadError> {
        self.give_up(content).await?;
        self.forget().await
    }

    async fn forget(&self) -> Result<Step, UploadError> {
        self.journal.drop_file(self.snapshot.file, host::now()).await?;
        Ok(Step::Done)
    }

    /// Releases what was stored and will not be used. Until that has happened the journal must remember the token.
    async fn give_up(&self, content: &Content) -> Result<(), CenterError> {
        let snapshot = &self.snapshot;
        if *content == snapshot.base.content || *content == Content::EMPTY {
            return Ok(());
        }
        self.customer.center.release(&content.fingerprint, snapshot.token).await
    }
}

/// The key of a row's update: the same when the same update is repeated after a crash, so that it has one effect.
fn update_key(token: Token, version: u64, attempt: u32) -> Token {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&token.0);
    hasher.update(&version.to_be_bytes());
    hasher.update(&attempt.to_be_bytes());
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    Token(key)
}

/// The contents of a file's row; `None` for a folder.
pub(crate) fn content_of(row: &Row) -> Option<Content> {
    match row.body {
        Body::File { content } => Some(content),
        Body::Folder { .. } => None,
    }
}
