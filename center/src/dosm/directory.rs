//! What an object manager asks of the VFS.

use std::future::Future;

use protocol::dosp::Reference;
use protocol::id::{CustomerId, ObjectId};
use protocol::name::Name;
use protocol::srl::Secret;
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

/// The VFS as an object manager sees it.
pub trait Directory: Send + Sync + 'static {
    /// The customer's live secrets; empty for an unknown customer.
    ///
    /// # Errors
    /// The reason why the VFS cannot answer now, for the log.
    fn secrets(&self, customer: CustomerId) -> impl Future<Output = Result<Vec<Secret>, String>> + Send;

    /// Makes a file row (VFS-17).
    fn create_file(
        &self,
        customer: CustomerId,
        file: NewFile,
    ) -> impl Future<Output = Result<ObjectId, VfsError>> + Send;

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
    fn give_up(&self, reference: Reference) -> impl Future<Output = Result<(), VfsError>> + Send;
}
