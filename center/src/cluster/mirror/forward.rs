//! Handing changes on to the center that writes, and waiting until what it did is here as well, so that whoever asks
//! next sees it (VFS-21).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use protocol::digest::Content;
use protocol::dosp::operations::{
    self as op, AccessNewsOut, AccessOut, CreateFileIn, CreateFileOut, DeleteClientFileIn,
    DeleteClientFileOut, DirectoryState, Forward, ForwardIn, ForwardOut, GiveUpIn, GiveUpOut,
    StoreClientFileIn, StoreClientFileOut,
};
use protocol::dosp::{Operation, Reference};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::pair::{Asker, Stamp};
use protocol::vfs::VfsError;
use tokio::time::timeout;

use super::Desk;
use super::role::Role;
use crate::dosm::{Directory, NewClientFile, NewFile};
use crate::vfs::Elsewhere;

/// Longest time for the writer to answer: it may wait for its mirrors, and for customers who wait for changes.
const PATIENCE: Duration = Duration::from_secs(40);
/// Longest wait until what was answered is here.
const HERE_PATIENCE: Duration = Duration::from_secs(2);

impl Desk {
    /// Where changes are to be handed on: `None` for nowhere, they are made here; an error if nobody is known who makes
    /// them.
    fn writer(&self) -> Option<Result<SocketAddr, String>> {
        match *self.shared.role.borrow() {
            Role::Writes => None,
            Role::Follows(Some(writer)) => Some(Ok(writer)),
            Role::Follows(None) | Role::Waits => {
                Some(Err("the storage center that changes the directory is not reached; try again later"
                    .to_owned()))
            }
        }
    }

    async fn await_position(&self, number: u64) {
        let mut known = self.mirror().known();
        // Who waited in vain gets his answer all the same: the change is made.
        let _ = timeout(HERE_PATIENCE, known.wait_for(|position| position.number >= number)).await;
    }

    /// Asks the writer for a change; `None` if it is to be made here.
    async fn ask_writer<O: Operation>(&self, input: &O::In) -> Option<Result<O::Out, String>> {
        let writer = match self.writer()? {
            Ok(writer) => writer,
            Err(reason) => return Some(Err(reason)),
        };
        let links = self.shared.view.links();
        let asked = links.ask::<O>(writer, input, PATIENCE).await.map_err(|error| error.to_string());
        if asked.is_ok()
            && let Ok(state) = links.ask::<DirectoryState>(writer, &(), HERE_PATIENCE).await
        {
            self.await_position(state.position).await;
        }
        Some(asked)
    }

    async fn forward_document(
        &self,
        customer: CustomerId,
        document: &[u8],
    ) -> Option<Result<Vec<u8>, String>> {
        let writer = match self.writer()? {
            Ok(writer) => writer,
            Err(reason) => return Some(Err(reason)),
        };
        let input = ForwardIn { customer, document: document.into() };
        match self.shared.view.links().ask::<Forward>(writer, &input, PATIENCE).await {
            Ok(ForwardOut { position, document }) => {
                self.await_position(position).await;
                Some(Ok(document.into()))
            }
            Err(error) => Some(Err(error.to_string())),
        }
    }
}

impl Elsewhere for Desk {
    fn forward<'a>(
        &'a self,
        customer: CustomerId,
        document: &'a [u8],
    ) -> BoxFuture<'a, Option<Result<Vec<u8>, String>>> {
        Box::pin(self.forward_document(customer, document))
    }
}

/// The directory as the object managers of this center see it: questions are answered here, changes where they are
/// made.
pub struct MirroredDirectory<D> {
    here: Arc<D>,
    desk: Option<Desk>,
}

impl<D> MirroredDirectory<D> {
    /// In front of this center's; without a desk all is here.
    pub fn new(here: Arc<D>, desk: Option<Desk>) -> Self {
        Self { here, desk }
    }

    async fn elsewhere<O: Operation>(&self, input: O::In) -> Option<Result<O::Out, VfsError>> {
        let asked = self.desk.as_ref()?.ask_writer::<O>(&input).await?;
        Some(asked.map_err(VfsError::unavailable))
    }
}

impl<D: Directory> Directory for MirroredDirectory<D> {
    async fn access(&self, customer: CustomerId) -> Result<AccessOut, String> {
        self.here.access(customer).await
    }

    async fn access_news(&self, since: u64) -> Result<AccessNewsOut, String> {
        self.here.access_news(since).await
    }

    async fn create_file(&self, asker: Asker, file: NewFile) -> Result<ObjectId, VfsError> {
        let NewFile { parent, name, upload } = &file;
        let input =
            CreateFileIn { asker: asker.clone(), parent: *parent, name: name.clone(), upload: *upload };
        match self.elsewhere::<op::CreateFile>(input).await {
            None => self.here.create_file(asker, file).await,
            Some(asked) => asked.and_then(|CreateFileOut { file }| file),
        }
    }

    async fn store_client_file(&self, asker: Asker, file: NewClientFile) -> Result<(), VfsError> {
        let NewClientFile { file: id, upload, replace } = file;
        let input = StoreClientFileIn { asker: asker.clone(), file: id, upload, replace };
        match self.elsewhere::<op::StoreClientFile>(input).await {
            None => {
                let file = NewClientFile { file: id, upload, replace };
                self.here.store_client_file(asker, file).await
            }
            Some(asked) => asked.and_then(|StoreClientFileOut { outcome }| outcome),
        }
    }

    async fn find_client_file(&self, customer: CustomerId, file: ClientFile) -> Result<Content, VfsError> {
        self.here.find_client_file(customer, file).await
    }

    async fn delete_client_file(&self, asker: Asker, file: ClientFile, key: Token) -> Result<(), VfsError> {
        let input = DeleteClientFileIn { asker: asker.clone(), file, key };
        match self.elsewhere::<op::DeleteClientFile>(input).await {
            None => self.here.delete_client_file(asker, file, key).await,
            Some(asked) => asked.and_then(|DeleteClientFileOut { outcome }| outcome),
        }
    }

    async fn upload_page(&self, customer: CustomerId) -> Result<Option<String>, String> {
        self.here.upload_page(customer).await
    }

    async fn callback_hosts(&self, customer: CustomerId) -> Result<String, String> {
        self.here.callback_hosts(customer).await
    }

    async fn give_up(&self, reference: Reference, stamp: Option<Stamp>) -> Result<(), VfsError> {
        match self.elsewhere::<op::GiveUp>(GiveUpIn { reference, stamp: stamp.clone() }).await {
            None => self.here.give_up(reference, stamp).await,
            Some(asked) => asked.and_then(|GiveUpOut { outcome }| outcome),
        }
    }
}
