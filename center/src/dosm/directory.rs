//! What an object manager asks of the VFS.

use std::future::Future;

use protocol::digest::Content;
use protocol::dosp::Reference;
use protocol::dosp::operations::{AccessNewsOut, AccessOut};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::name::Name;
use protocol::pair::{Asker, Stamp};
use protocol::vfs::{Upload, VfsError};

/// A file to be made of a stored object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// In which folder.
    pub parent: ObjectId,
    /// Under which name.
    pub name: Name,
    /// Its bytes. The token is also the key under which the VFS remembers its answer (SRL-18).
    pub upload: Upload,
}

/// A stored object to be made a file that the customer calls by an id of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewClientFile {
    /// Which.
    pub file: ClientFile,
    /// Its bytes, and the key under which the VFS remembers its answer.
    pub upload: Upload,
    /// Take the place of what is stored as that file; else that is refused (`Exists`).
    pub replace: bool,
}

/// The VFS as an object manager sees it.
pub trait Directory: Send + Sync + 'static {
    /// By what the customer's SRLs are checked; no secrets for a customer who is unknown or suspended.
    ///
    /// # Errors
    /// The reason why the VFS cannot answer now, for the log.
    fn access(&self, customer: CustomerId) -> impl Future<Output = Result<AccessOut, String>> + Send;

    /// Whose access changed after the change with this number; 0 asks for the number of the last change. Waits a moment
    /// for the first.
    ///
    /// # Errors
    /// The reason why the VFS cannot answer now, for the log.
    fn access_news(&self, since: u64) -> impl Future<Output = Result<AccessNewsOut, String>> + Send;

    /// Makes a file row (VFS-17).
    fn create_file(
        &self,
        asker: Asker,
        file: NewFile,
    ) -> impl Future<Output = Result<ObjectId, VfsError>> + Send;

    /// Makes a file that the customer calls by an id of its own (PRIV-4).
    fn store_client_file(
        &self,
        asker: Asker,
        file: NewClientFile,
    ) -> impl Future<Output = Result<(), VfsError>> + Send;

    /// What is stored as that file now; `NotFound` if nothing is.
    fn find_client_file(
        &self,
        customer: CustomerId,
        file: ClientFile,
    ) -> impl Future<Output = Result<Content, VfsError>> + Send;

    /// Removes that file. `key` is that under which the VFS remembers its answer.
    fn delete_client_file(
        &self,
        asker: Asker,
        file: ClientFile,
        key: Token,
    ) -> impl Future<Output = Result<(), VfsError>> + Send;

    /// Where the customer's end users are sent after an upload; `None` if it has registered no such page (DOSM-18).
    ///
    /// # Errors
    /// The reason why the VFS cannot answer now, for the log.
    fn upload_page(
        &self,
        customer: CustomerId,
    ) -> impl Future<Output = Result<Option<String>, String>> + Send;

    /// On which hosts the customer's callbacks may lie, `host` or `host:port` joined by spaces; empty for none
    /// (SRL-10).
    ///
    /// # Errors
    /// The reason why the VFS cannot answer now, for the log.
    fn callback_hosts(&self, customer: CustomerId) -> impl Future<Output = Result<String, String>> + Send;

    /// Gives up the reference of an upload, unless a row holds it: durable when this returns, and done as soon as every
    /// node can be told.
    fn give_up(
        &self,
        reference: Reference,
        stamp: Option<Stamp>,
    ) -> impl Future<Output = Result<(), VfsError>> + Send;
}
