//! A share: names are found, made, changed and removed.

use std::sync::Arc;

use async_trait::async_trait;
use nfs::filesystem::{Access, Attributes, CreateHow, FileKind, Filesystem, FsError, Handle, SetAttributes};
use nfs::windows;
use smb_server::{
    BackendCapabilities, Handle as OpenHandle, OpenAction, OpenIntent, OpenOptions, ShareBackend, SmbError,
    SmbPath, SmbResult, VolumeInfo,
};
use tokio::sync::Semaphore;

use crate::caller::{Actor, patiently};
use crate::convert;
use crate::listing::Pages;
use crate::names;
use crate::open::OpenFile;
use crate::usage::Usage;

/// In a folder with more entries a name is found as it is written alone, for to look through them takes too long.
pub(crate) const SCANNED_MAX: usize = 10_000;
/// Permission bits of what is made here, as a Linux client's umask would leave them.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// A tree of the file system as one user of it sees it.
#[derive(Debug)]
pub(crate) struct Tree<F> {
    pub filesystem: Arc<F>,
    pub actor: Actor,
    /// By which it is mounted.
    pub path: String,
    pub read_only: bool,
    /// Of the volume, for clients that tell volumes apart by it.
    pub serial_number: u32,
    /// Counts what is done in it.
    pub usage: Arc<Usage>,
    /// Room for entries of listings, of all trees together.
    pub listings: Arc<Semaphore>,
}

/// An object that has been found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// As the file system has it, which may differ in case from what was asked for; empty for the root.
    pub name: String,
    pub handle: Handle,
    pub attributes: Attributes,
}

impl Found {
    fn is_folder(&self) -> bool {
        self.attributes.kind == FileKind::Directory
    }
}

impl<F: Filesystem> Tree<F> {
    async fn root(&self) -> SmbResult<Found> {
        let caller = self.actor.asks();
        let handle = patiently(|| self.filesystem.mount(&caller, &self.path)).await?;
        let attributes = patiently(|| self.filesystem.getattr(&caller, &handle)).await?;
        Ok(Found { name: String::new(), handle, attributes })
    }

    /// The entry of that name, or else the first that differs in case alone. Symbolic links are not there.
    pub async fn child(&self, folder: &Handle, name: &str) -> SmbResult<Option<Found>> {
        if name.len() > self.filesystem.limits().name_bytes_max as usize {
            return Err(SmbError::NameInvalid);
        }
        let exact = self.exact(folder, name).await?;
        match exact {
            Some(_) => Ok(exact),
            None => match self.spelled(folder, name).await? {
                Some(spelled) => self.exact(folder, &spelled).await,
                None => Ok(None),
            },
        }
    }

    async fn exact(&self, folder: &Handle, name: &str) -> SmbResult<Option<Found>> {
        let caller = self.actor.asks();
        let found = patiently(|| async {
            match self.filesystem.lookup(&caller, folder, name.as_bytes()).await {
                Err(FsError::NotFound) => Ok(None),
                found => found.map(Some),
            }
        });
        let found = found.await?.filter(|(_, attributes)| attributes.kind != FileKind::Symlink);
        Ok(found.map(|(handle, attributes)| Found { name: name.to_owned(), handle, attributes }))
    }

    /// How the folder spells a name, which it does not have as it is.
    async fn spelled(&self, folder: &Handle, name: &str) -> SmbResult<Option<String>> {
        let mut pages = Pages::new(&*self.filesystem, &self.actor, folder, false);
        let mut seen = 0;
        while seen <= SCANNED_MAX
            && let Some(page) = pages.next().await?
        {
            seen += page.len();
            let names = page.iter().filter_map(|entry| names::shown(&entry.name));
            if let Some(spelled) = names.into_iter().find(|entry| names::same(entry, name)) {
                return Ok(Some(spelled.to_owned()));
            }
        }
        Ok(None)
    }

    /// The folder that a path leads to.
    async fn folder(&self, components: &[String]) -> SmbResult<Found> {
        let mut folder = self.root().await?;
        for name in components {
            let child = self.child(&folder.handle, name).await?;
            folder = child.filter(Found::is_folder).ok_or(SmbError::PathNotFound)?;
        }
        Ok(folder)
    }

    /// The folder and the name of what a path leads to; the root has neither.
    async fn place<'p>(&self, path: &'p SmbPath) -> SmbResult<Option<(Found, &'p str)>> {
        match path.components().split_last() {
            None => Ok(None),
            Some((name, folders)) => Ok(Some((self.folder(folders).await?, name))),
        }
    }

    /// Opens what is there, as far as it is wanted.
    async fn open_existing(&self, found: &Found, wanted: OpenOptions) -> SmbResult<OpenAction> {
        let truncates = matches!(wanted.intent, OpenIntent::Truncate | OpenIntent::OverwriteOrCreate);
        if wanted.intent == OpenIntent::Create {
            return Err(SmbError::Exists);
        }
        if found.is_folder() {
            return match wanted.non_directory || truncates {
                true => Err(SmbError::IsDirectory),
                false => Ok(OpenAction::Opened),
            };
        }
        if wanted.directory {
            return Err(SmbError::NotADirectory);
        }
        if wanted.write || truncates {
            self.check_writable(found).await?;
        }
        if truncates {
            self.set(&found.handle, SetAttributes { size: Some(0), ..SetAttributes::default() }).await?;
            return Ok(OpenAction::Overwritten);
        }
        Ok(OpenAction::Opened)
    }

    /// Who opens a file is told at once that he may not write, not by his first write.
    async fn check_writable(&self, found: &Found) -> SmbResult<()> {
        if windows::is_read_only(&found.attributes) {
            return Err(SmbError::AccessDenied);
        }
        self.check_granted(found, Access::MODIFY).await
    }

    /// Who may not is told when he opens. Of what goes wrong when a file that is to go is closed, nobody is told any more.
    async fn check_granted(&self, found: &Found, right: u32) -> SmbResult<()> {
        let caller = self.actor.asks();
        let (granted, _) =
            patiently(|| self.filesystem.access(&caller, &found.handle, Access(right))).await?;
        if granted.0 & right == 0 { Err(SmbError::AccessDenied) } else { Ok(()) }
    }

    async fn make(&self, folder: &Handle, name: &str, directory: bool) -> SmbResult<Found> {
        let caller = self.actor.changes();
        let mode = Some(if directory { FOLDER_MODE } else { FILE_MODE });
        let set = SetAttributes { mode, ..SetAttributes::default() };
        let made = patiently(|| async {
            let name = name.as_bytes();
            if directory {
                self.filesystem.mkdir(&caller, folder, name, set.clone()).await.result
            } else {
                self.filesystem.create(&caller, folder, name, CreateHow::Guarded(set.clone())).await.result
            }
        });
        let (handle, attributes) = made.await?;
        Ok(Found { name: name.to_owned(), handle, attributes })
    }

    pub async fn set(&self, object: &Handle, set: SetAttributes) -> SmbResult<()> {
        let caller = self.actor.changes();
        patiently(|| async { self.filesystem.setattr(&caller, object, set.clone(), None).await.result }).await
    }

    async fn find_or_make(&self, path: &SmbPath, wanted: OpenOptions) -> SmbResult<(Found, OpenAction)> {
        let Some((folder, name)) = self.place(path).await? else {
            if wanted.delete_on_close {
                return Err(SmbError::AccessDenied);
            }
            let root = self.root().await?;
            let action = self.open_existing(&root, wanted).await?;
            return Ok((root, action));
        };
        if wanted.delete_on_close {
            self.check_granted(&folder, Access::DELETE).await?;
        }
        if let Some(found) = self.child(&folder.handle, name).await? {
            let action = self.open_existing(&found, wanted).await?;
            return Ok((found, action));
        }
        if matches!(wanted.intent, OpenIntent::Open | OpenIntent::Truncate) {
            return Err(SmbError::NotFound);
        }
        match self.make(&folder.handle, name, wanted.directory).await {
            // Somebody else was faster.
            Err(SmbError::Exists) if wanted.intent != OpenIntent::Create => {
                let found = self.exact(&folder.handle, name).await?.ok_or(SmbError::Exists)?;
                let action = self.open_existing(&found, wanted).await?;
                Ok((found, action))
            }
            made => Ok((made?, OpenAction::Created)),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Backend<F>(pub Arc<Tree<F>>);

#[async_trait]
impl<F: Filesystem> ShareBackend for Backend<F> {
    async fn open(
        &self,
        path: &SmbPath,
        wanted: OpenOptions,
    ) -> SmbResult<(Box<dyn OpenHandle>, OpenAction)> {
        let (found, action) = self.0.find_or_make(path, wanted).await?;
        Ok((Box::new(OpenFile::new(Arc::clone(&self.0), found)), action))
    }

    async fn unlink(&self, path: &SmbPath) -> SmbResult<()> {
        let Self(tree) = self;
        let (folder, name) = tree.place(path).await?.ok_or(SmbError::AccessDenied)?;
        let found = tree.child(&folder.handle, name).await?.ok_or(SmbError::NotFound)?;
        let caller = tree.actor.changes();
        let removed = patiently(|| async {
            let name = found.name.as_bytes();
            if found.is_folder() {
                tree.filesystem.rmdir(&caller, &folder.handle, name).await.result
            } else {
                tree.filesystem.remove(&caller, &folder.handle, name).await.result
            }
        });
        removed.await
    }

    async fn rename(&self, from: &SmbPath, to: &SmbPath, replace: bool) -> SmbResult<()> {
        let Self(tree) = self;
        let (from_folder, from_name) = tree.place(from).await?.ok_or(SmbError::AccessDenied)?;
        let found = tree.child(&from_folder.handle, from_name).await?.ok_or(SmbError::NotFound)?;
        let (to_folder, to_name) = tree.place(to).await?.ok_or(SmbError::AccessDenied)?;
        let there = tree.child(&to_folder.handle, to_name).await?;
        // The same object is there when only the case of its name changes.
        let there = there.filter(|there| there.attributes.fileid != found.attributes.fileid);
        let to_name = match &there {
            Some(_) if !replace => return Err(SmbError::Exists),
            Some(there) if there.is_folder() || found.is_folder() => return Err(SmbError::AccessDenied),
            Some(there) => there.name.as_bytes(),
            None => to_name.as_bytes(),
        };
        let caller = tree.actor.changes();
        let renamed = patiently(|| async {
            let (from, to) = (&from_folder.handle, &to_folder.handle);
            tree.filesystem.rename(&caller, from, found.name.as_bytes(), to, to_name, replace).await.result
        });
        renamed.await
    }

    fn capabilities(&self) -> BackendCapabilities {
        let mut capabilities = BackendCapabilities::default();
        capabilities.is_read_only = self.0.read_only;
        capabilities.case_sensitive = false;
        capabilities
    }

    async fn volume_info(&self) -> SmbResult<VolumeInfo> {
        let Self(tree) = self;
        let root = tree.root().await?;
        let caller = tree.actor.asks();
        let space = patiently(|| tree.filesystem.space(&caller, &root.handle)).await?;
        Ok(convert::volume(&space, tree.serial_number))
    }
}
