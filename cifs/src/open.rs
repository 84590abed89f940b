//! A file or folder that a client has open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use nfs::filesystem::{Attributes, FileKind, Filesystem, FsError, Marks, Segment, SetAttributes, Stability};
use nfs::local::bytes_of;
use nfs::windows;
use smb_server::{DirEntry, FileInfo, FileTimes, Handle as OpenHandle, SmbError, SmbResult};
use tokio::sync::OwnedSemaphorePermit;

use crate::backend::{Found, Tree};
use crate::caller::patiently;
use crate::convert;
use crate::listing::Pages;
use crate::names;
use crate::pattern::Pattern;
use crate::usage::Counted;

/// Most entries of one listing, which the server holds in memory while a client has the folder open: some 150 MB.
const LISTED_MAX: usize = 1_000_000;
/// The same of all that clients have open at once.
pub(crate) const LISTED_TOGETHER_MAX: usize = 2_000_000;

/// See the module.
pub(crate) struct OpenFile<F> {
    tree: Arc<Tree<F>>,
    found: Found,
    /// Written, and perhaps not yet on a disk.
    is_dirty: AtomicBool,
    /// For the entries that were listed last.
    room: Mutex<Option<OwnedSemaphorePermit>>,
    _counted: Counted,
}

impl<F: Filesystem> OpenFile<F> {
    pub fn new(tree: Arc<Tree<F>>, found: Found) -> Self {
        let _counted = Counted::new(&tree.usage);
        Self { tree, found, is_dirty: AtomicBool::new(false), room: Mutex::default(), _counted }
    }

    async fn attributes(&self) -> SmbResult<Attributes> {
        let caller = self.tree.actor.asks();
        patiently(|| self.tree.filesystem.getattr(&caller, &self.found.handle)).await
    }

    /// As much as one call gives; nothing at the end of the file.
    async fn read_once(&self, offset: u64, count: u32) -> SmbResult<(Vec<Segment>, bool)> {
        let filesystem = &*self.tree.filesystem;
        let count = count.min(filesystem.limits().read_bytes_max);
        let caller = self.tree.actor.asks();
        let read = patiently(|| filesystem.read(&caller, &self.found.handle, offset, count)).await?;
        Ok((read.data, read.eof))
    }

    async fn write_once(&self, offset: u64, data: Bytes) -> SmbResult<u32> {
        let filesystem = &*self.tree.filesystem;
        let caller = self.tree.actor.changes();
        let written = patiently(|| async {
            let (data, stability) = (data.clone(), Stability::Unstable);
            filesystem.write(&caller, &self.found.handle, offset, data, stability).await.result
        });
        self.is_dirty.store(true, Ordering::Relaxed);
        Ok(written.await?.count)
    }
}

#[async_trait]
impl<F: Filesystem> OpenHandle for OpenFile<F> {
    async fn read(&self, offset: u64, len: u32) -> SmbResult<Bytes> {
        let mut parts = Vec::new();
        let mut got: u32 = 0;
        while got < len
            && let Some(at) = offset.checked_add(u64::from(got))
        {
            let (segments, is_end) = self.read_once(at, len - got).await?;
            let before = got;
            for segment in segments {
                let bytes = bytes_of(segment).await.map_err(SmbError::Io)?;
                got = got.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                parts.push(bytes);
            }
            if is_end || got == before {
                break;
            }
        }
        self.tree.usage.add_read(u64::from(got));
        // Nearly always one: nothing is copied then.
        if let [whole] = &parts[..] {
            return Ok(whole.clone());
        }
        Ok(parts.concat().into())
    }

    async fn write(&self, offset: u64, data: &[u8]) -> SmbResult<u32> {
        self.write_owned(offset, data.to_vec()).await
    }

    async fn write_owned(&self, offset: u64, data: Vec<u8>) -> SmbResult<u32> {
        let limits = self.tree.filesystem.limits();
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > limits.file_bytes_max) {
            return Err(convert::error(FsError::FileTooLarge));
        }
        let (mut at, mut rest) = (offset, Bytes::from(data));
        while !rest.is_empty() {
            let piece = rest.slice(..rest.len().min(limits.write_bytes_max as usize));
            let count = self.write_once(at, piece).await?;
            if count == 0 {
                break;
            }
            at += u64::from(count);
            rest = rest.split_off(rest.len().min(count as usize));
        }
        self.tree.usage.add_written(at - offset);
        // No more than was asked for, which the protocol bounds to 8 MiB.
        u32::try_from(at - offset).map_err(|_| SmbError::NotSupported)
    }

    async fn flush(&self) -> SmbResult<()> {
        if self.found.attributes.kind == FileKind::Directory {
            return Ok(());
        }
        let caller = self.tree.actor.changes();
        let filesystem = &*self.tree.filesystem;
        patiently(|| async { filesystem.commit(&caller, &self.found.handle, 0, 0).await.result }).await?;
        self.is_dirty.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn stat(&self) -> SmbResult<FileInfo> {
        Ok(convert::info(&self.found.name, &self.attributes().await?))
    }

    async fn set_times(&self, times: FileTimes) -> SmbResult<()> {
        // That of the last change is the file system's own.
        let set = SetAttributes {
            accessed: windows::set_time(times.last_access_time),
            modified: windows::set_time(times.last_write_time),
            born: windows::set_time(times.creation_time),
            ..SetAttributes::default()
        };
        if set == SetAttributes::default() {
            return Ok(());
        }
        self.tree.set(&self.found.handle, set).await
    }

    async fn set_attributes(&self, attributes: u32) -> SmbResult<()> {
        let now = self.attributes().await?;
        let wants_read_only = attributes & Marks::READ_ONLY != 0;
        // The server does not show others, so clients are not told that they are kept.
        if attributes & !(Marks::READ_ONLY | Marks::ARCHIVE) != 0
            || (wants_read_only && now.kind == FileKind::Directory)
        {
            return Err(SmbError::NotSupported);
        }
        let set = windows::set_read_only(wants_read_only, &now);
        if set == SetAttributes::default() {
            return Ok(());
        }
        self.tree.set(&self.found.handle, set).await
    }

    async fn truncate(&self, len: u64) -> SmbResult<()> {
        if len > self.tree.filesystem.limits().file_bytes_max {
            return Err(convert::error(FsError::FileTooLarge));
        }
        self.is_dirty.store(true, Ordering::Relaxed);
        self.tree.set(&self.found.handle, SetAttributes { size: Some(len), ..SetAttributes::default() }).await
    }

    async fn list_dir(&self, pattern: Option<&str>) -> SmbResult<Vec<DirEntry>> {
        let (tree, folder) = (&*self.tree, &self.found.handle);
        let compiled = pattern.map(Pattern::new);
        // Clients ask so for one file's attributes.
        if let (Some(name), Some(false)) = (pattern, compiled.as_ref().map(Pattern::is_wild)) {
            let found = match names::shown(name.as_bytes()) {
                Some(name) => tree.child(folder, name).await?,
                None => None,
            };
            let entry = found.map(|found| DirEntry { info: convert::info(&found.name, &found.attributes) });
            return Ok(entry.into_iter().collect());
        }
        let mut pages = Pages::new(&*tree.filesystem, &tree.actor, folder, true);
        let (mut listed, mut room) = (Vec::new(), None);
        while let Some(page) = pages.next().await? {
            let before = listed.len();
            listed.extend(page.iter().filter_map(|entry| {
                let (name, attributes) = (names::shown(&entry.name)?, entry.attributes.as_ref()?);
                let is_wanted = attributes.kind != FileKind::Symlink
                    && compiled.as_ref().is_none_or(|pattern| pattern.matches(name));
                is_wanted.then(|| DirEntry { info: convert::info(name, attributes) })
            }));
            if listed.len() > LISTED_MAX {
                tracing::warn!("a CIFS client wants to list a folder of more than {LISTED_MAX} entries");
                return Err(SmbError::NotSupported);
            }
            let more = u32::try_from(listed.len() - before).unwrap_or(u32::MAX);
            let Ok(more) = Arc::clone(&tree.listings).try_acquire_many_owned(more) else {
                tracing::warn!(
                    "CIFS clients list more than {LISTED_TOGETHER_MAX} entries at once; one was refused"
                );
                return Err(SmbError::NotSupported);
            };
            match &mut room {
                None => room = Some(more),
                Some(room) => room.merge(more),
            }
        }
        // The server forgets what was listed before with the same descriptor.
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
        Ok(listed)
    }

    async fn close(self: Box<Self>) -> SmbResult<()> {
        // As NFS clients do: what was written before a close outlives the port that took it.
        if self.is_dirty.load(Ordering::Relaxed) { self.flush().await } else { Ok(()) }
    }

    async fn link_count(&self) -> SmbResult<u32> {
        match self.attributes().await {
            Ok(attributes) => Ok(attributes.links),
            Err(SmbError::NotFound) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Of entries that SMB does not show too.
    async fn dir_is_empty(&self) -> SmbResult<bool> {
        let tree = &*self.tree;
        let mut pages = Pages::new(&*tree.filesystem, &tree.actor, &self.found.handle, false);
        while let Some(page) = pages.next().await? {
            if !page.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
