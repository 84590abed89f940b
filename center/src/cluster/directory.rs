//! The VFS as object managers of other processes see it: both sides of it.

use std::sync::Arc;
use std::time::Duration;

use protocol::digest::Content;
use protocol::dosp::operations::{
    self as op, AccessIn, AccessNewsIn, AccessNewsOut, AccessOut, CallbackHostsIn, CallbackHostsOut,
    CreateFileIn, CreateFileOut, DeleteClientFileIn, DeleteClientFileOut, FindClientFileIn,
    FindClientFileOut, GiveUpIn, GiveUpOut, StoreClientFileIn, StoreClientFileOut, UploadPageIn,
    UploadPageOut,
};
use protocol::dosp::{Failure, Operation, Reference, Status};
use protocol::id::{ClientFile, CustomerId, ObjectId, Token};
use protocol::pair::{Asker, Stamp};
use protocol::vfs::VfsError;
use tokio::time::{Instant, timeout_at};

use super::centers::HERE;
use super::daemon::Registry;
use super::view::{Node, View};
use crate::dosm::{Directory, NewClientFile, NewFile};

/// Longest time for a directory manager to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Two heartbeats: who is there has been heard of by then.
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(2);

/// The directory managers of the cluster: the first that answers is as good as any (SYS-5), those of this center before
/// those of others (GEO-5, VFS-21).
#[derive(Clone)]
pub struct ClusterDirectory {
    view: View,
}

impl ClusterDirectory {
    /// Those in this view.
    pub fn new(view: View) -> Self {
        Self { view }
    }

    /// Those known; a process that has just been started waits a moment to hear of one.
    async fn managers(&self) -> Vec<Node> {
        let until = Instant::now() + NEWCOMER_PATIENCE;
        loop {
            let changed = self.view.changed();
            let managers = self.view.with_role(|roles| roles.ddm);
            if !managers.is_empty() || timeout_at(until, changed).await.is_err() {
                return managers;
            }
        }
    }

    async fn ask<O: Operation>(&self, input: &O::In) -> Result<O::Out, String> {
        let mut managers = self.managers().await;
        managers.sort_by_key(|manager| (manager.condition, manager.center != HERE));
        let mut reason = "no directory manager is known yet".to_string();
        for manager in managers {
            match self.view.ask::<O>(&manager, input, PATIENCE).await {
                Ok(out) => return Ok(out),
                Err(error) => reason = format!("directory manager {}: {error}", manager.number),
            }
        }
        Err(reason)
    }
}

impl Directory for ClusterDirectory {
    async fn access(&self, customer: CustomerId) -> Result<AccessOut, String> {
        self.ask::<op::Access>(&AccessIn { customer }).await
    }

    async fn access_news(&self, since: u64) -> Result<AccessNewsOut, String> {
        self.ask::<op::AccessNews>(&AccessNewsIn { since }).await
    }

    async fn create_file(&self, asker: Asker, file: NewFile) -> Result<ObjectId, VfsError> {
        let NewFile { parent, name, upload } = file;
        let input = CreateFileIn { asker, parent, name, upload };
        let CreateFileOut { file } =
            self.ask::<op::CreateFile>(&input).await.map_err(VfsError::unavailable)?;
        file
    }

    async fn store_client_file(&self, asker: Asker, file: NewClientFile) -> Result<(), VfsError> {
        let NewClientFile { file, upload, replace } = file;
        let input = StoreClientFileIn { asker, file, upload, replace };
        let answered = self.ask::<op::StoreClientFile>(&input).await;
        let StoreClientFileOut { outcome } = answered.map_err(VfsError::unavailable)?;
        outcome
    }

    async fn find_client_file(&self, customer: CustomerId, file: ClientFile) -> Result<Content, VfsError> {
        let answered = self.ask::<op::FindClientFile>(&FindClientFileIn { customer, file }).await;
        let FindClientFileOut { content } = answered.map_err(VfsError::unavailable)?;
        content
    }

    async fn delete_client_file(&self, asker: Asker, file: ClientFile, key: Token) -> Result<(), VfsError> {
        let answered = self.ask::<op::DeleteClientFile>(&DeleteClientFileIn { asker, file, key }).await;
        let DeleteClientFileOut { outcome } = answered.map_err(VfsError::unavailable)?;
        outcome
    }

    async fn upload_page(&self, customer: CustomerId) -> Result<Option<String>, String> {
        let UploadPageOut { url } = self.ask::<op::UploadPage>(&UploadPageIn { customer }).await?;
        Ok(Some(url).filter(|url| !url.is_empty()))
    }

    async fn callback_hosts(&self, customer: CustomerId) -> Result<String, String> {
        let CallbackHostsOut { hosts } = self.ask::<op::CallbackHosts>(&CallbackHostsIn { customer }).await?;
        Ok(hosts)
    }

    async fn give_up(&self, reference: Reference, stamp: Option<Stamp>) -> Result<(), VfsError> {
        let input = GiveUpIn { reference, stamp };
        let GiveUpOut { outcome } = self.ask::<op::GiveUp>(&input).await.map_err(VfsError::unavailable)?;
        outcome
    }
}

/// Registers what a directory manager answers.
pub fn register<D: Directory>(registry: &mut Registry, directory: &Arc<D>) {
    let vfs = Arc::clone(directory);
    registry.answer::<op::Access, _, _>(move |AccessIn { customer }| {
        let vfs = Arc::clone(&vfs);
        async move { vfs.access(customer).await.map_err(|reason| Failure::new(Status::Unavailable, reason)) }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::AccessNews, _, _>(move |AccessNewsIn { since }| {
        let vfs = Arc::clone(&vfs);
        async move {
            let news = vfs.access_news(since).await;
            news.map_err(|reason| Failure::new(Status::Unavailable, reason))
        }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::CreateFile, _, _>(move |CreateFileIn { asker, parent, name, upload }| {
        let vfs = Arc::clone(&vfs);
        async move {
            Ok(CreateFileOut { file: vfs.create_file(asker, NewFile { parent, name, upload }).await })
        }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::UploadPage, _, _>(move |UploadPageIn { customer }| {
        let vfs = Arc::clone(&vfs);
        async move {
            let page = vfs.upload_page(customer).await;
            let page = page.map_err(|reason| Failure::new(Status::Unavailable, reason))?;
            Ok(UploadPageOut { url: page.unwrap_or_default() })
        }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::CallbackHosts, _, _>(move |CallbackHostsIn { customer }| {
        let vfs = Arc::clone(&vfs);
        async move {
            let hosts = vfs.callback_hosts(customer).await;
            let hosts = hosts.map_err(|reason| Failure::new(Status::Unavailable, reason))?;
            Ok(CallbackHostsOut { hosts })
        }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::StoreClientFile, _, _>(move |input| {
        let StoreClientFileIn { asker, file, upload, replace } = input;
        let vfs = Arc::clone(&vfs);
        async move {
            let file = NewClientFile { file, upload, replace };
            Ok(StoreClientFileOut { outcome: vfs.store_client_file(asker, file).await })
        }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::FindClientFile, _, _>(move |FindClientFileIn { customer, file }| {
        let vfs = Arc::clone(&vfs);
        async move { Ok(FindClientFileOut { content: vfs.find_client_file(customer, file).await }) }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::DeleteClientFile, _, _>(move |DeleteClientFileIn { asker, file, key }| {
        let vfs = Arc::clone(&vfs);
        async move { Ok(DeleteClientFileOut { outcome: vfs.delete_client_file(asker, file, key).await }) }
    });
    let vfs = Arc::clone(directory);
    registry.answer::<op::GiveUp, _, _>(move |GiveUpIn { reference, stamp }| {
        let vfs = Arc::clone(&vfs);
        async move { Ok(GiveUpOut { outcome: vfs.give_up(reference, stamp).await }) }
    });
}
