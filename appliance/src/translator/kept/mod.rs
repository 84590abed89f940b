//! `.versions` in the root of an export: what is kept of deleted and overwritten files, for reading.
//!
//! Below it are the folders as they are now, and in each, in place of its files, the versions that are kept of files which
//! were in it, and of folders: through those what was in them is reached. A folder is named by its own id there as well,
//! whether it is there or deleted, and a version by its number ([`View`]); so nothing has to be remembered, and each
//! question is one about a folder or a version. Nothing can be changed; what a row's permissions say of reading holds.

mod name;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use nfs::filesystem::{Attributes, Caller, DirEntry, FileKind, FsError, FsResult, Handle, ListFrom, Listing};
use protocol::id::{ObjectId, Timestamp, VersionId};
use protocol::vfs::Body;

use super::export::Export;
use super::handle::{Place, VERSION_FILEID, View};
use super::list::{PARENT_COOKIE, SELF_COOKIE, STEP_ENTRIES};
use super::lookup::{parent, root};
use super::{Object, Translator, attributes, stale_if_gone};
use crate::center::StorageCenter;
use crate::customer::Customer;
use crate::directory_cache::{Directory, Entry, Kept};
use crate::host;
use crate::uploader::content_of;

/// The name in an export's root that leads here.
pub(super) const NAME: &str = ".versions";
const WRITE_BITS: u32 = 0o222;
/// Versions asked of the VFS at once: about what a reply of 64 KiB holds.
const STEP_VERSIONS: u32 = 256;
/// A folder's versions change without its row, so its times go on by themselves in such steps, for clients to look again.
const STEP_NANOS: i64 = 10_000_000_000;

/// The attributes of a folder or version.
pub(super) fn attributes(export: &Export, place: &Place, entry: &Entry) -> Attributes {
    let mut shown = attributes::attributes(entry, None, export.fsid());
    shown.fileid = place.fileid();
    shown.mode &= !WRITE_BITS;
    if place.view == View::Kept {
        let step = attributes::time(Timestamp(host::now().0 / STEP_NANOS * STEP_NANOS));
        shown.modified = shown.modified.max(step);
        shown.changed = shown.changed.max(step);
        // How many folders there are below nobody has counted: with 1 nobody relies on it.
        shown.links = 1;
    }
    shown
}

/// A folder that is there, or of which a version is kept; `Stale` if neither.
pub(super) async fn folder<C: StorageCenter>(directory: &Directory<C>, id: ObjectId) -> FsResult<Arc<Entry>> {
    match directory.row(id).await {
        Err(error) if error.is_not_found() || error.is_unavailable() => {
            let kept = directory.deleted_folder(id).await?;
            kept.map(|kept| kept.entry).ok_or(FsError::Stale)
        }
        found => found.map_err(FsError::from),
    }
}

/// Whether a folder is one that has `.versions`.
pub(super) async fn has_entrance<C: StorageCenter>(dir: &Object<'_, C>, folder: &Entry) -> FsResult<bool> {
    if !dir.export.versions || dir.place.view != View::Files {
        return Ok(false);
    }
    match dir.export.folder.is_empty() {
        true => Ok(folder.row.parent.is_none()),
        false => Ok(root(&dir.export, dir.customer).await?.row.id == folder.row.id),
    }
}

/// Whether a name in a folder is `.versions`.
pub(super) async fn is_entrance<C: StorageCenter>(
    dir: &Object<'_, C>,
    folder: &Entry,
    name: &[u8],
) -> FsResult<bool> {
    Ok(name == NAME.as_bytes() && has_entrance(dir, folder).await?)
}

/// Fails with `error` for a change of that name.
pub(super) async fn refuse_entrance<C: StorageCenter>(
    dir: &Object<'_, C>,
    folder: &Entry,
    name: &[u8],
    error: FsError,
) -> FsResult<()> {
    if is_entrance(dir, folder, name).await? { Err(error) } else { Ok(()) }
}

impl<C: StorageCenter> Translator<C> {
    /// What `.versions` is in an export of this root.
    pub(super) fn kept_top(&self, export: &Export, root: &Entry) -> (Handle, Attributes) {
        let place =
            Place { view: View::Kept, export: export.id, customer: export.customer, object: root.row.id };
        (self.key.seal(&place), attributes(export, &place, root))
    }

    /// MOUNT of `.versions`, or of a folder below it.
    pub(super) async fn mount_kept(
        &self,
        caller: &Caller,
        export: &Export,
        customer: &Customer<C>,
        below: &[&str],
    ) -> FsResult<Handle> {
        let (mut handle, mut shown) = self.kept_top(export, &*root(export, customer).await?);
        for name in below {
            (handle, shown) = self.look_up(caller, &handle, name.as_bytes()).await?;
        }
        if shown.kind == FileKind::Directory { Ok(handle) } else { Err(FsError::NotDirectory) }
    }

    /// LOOKUP in a folder of versions; whether the caller may search it was asked.
    pub(super) async fn look_up_kept(
        &self,
        dir: &Object<'_, C>,
        folder: &Arc<Entry>,
        name: &[u8],
    ) -> FsResult<(Handle, Attributes)> {
        let (place, entry) = match name {
            b"." => (dir.place, Arc::clone(folder)),
            b".." => above(dir, folder).await?,
            _ => child(dir, folder, name).await?.ok_or(FsError::NotFound)?,
        };
        Ok((self.key.seal(&place), shown(dir, &place, &entry)))
    }

    /// Gives entries of a folder of versions to `into`, which has begun, while it takes them; whether it took the last.
    pub(super) async fn list_kept(
        &self,
        dir: &Object<'_, C>,
        folder: &Arc<Entry>,
        from: ListFrom,
        into: &mut impl Listing,
    ) -> FsResult<bool> {
        let mut add = |place: &Place, entry: &Entry, name: &[u8], cookie: u64| {
            let (handle, attributes);
            let object = if from.objects {
                handle = self.key.seal(place);
                attributes = shown(dir, place, entry);
                Some((&handle, &attributes))
            } else {
                None
            };
            into.add(DirEntry { fileid: place.fileid(), name, cookie, object })
        };
        if from.cookie < SELF_COOKIE && !add(&dir.place, folder, b".", SELF_COOKIE) {
            return Ok(false);
        }
        if from.cookie < PARENT_COOKIE {
            let (place, entry) = above(dir, folder).await?;
            if !add(&place, &entry, b"..", PARENT_COOKIE) {
                return Ok(false);
            }
        }
        let directory = &dir.customer.directory;
        let mut after = if from.cookie > PARENT_COOKIE { from.cookie } else { 0 };
        let mut has_folders = after < VERSION_FILEID && has_folders(folder);
        while has_folders {
            let page = match directory.page(folder.row.id, after, STEP_ENTRIES).await {
                Err(error) if error.is_not_found() => break,
                page => page.map_err(FsError::from)?,
            };
            for entry in page.entries().iter().filter(|entry| content_of(&entry.row).is_none()) {
                let Some(name) = &entry.row.name else { continue };
                let place = Place { object: entry.row.id, ..dir.place };
                if !add(&place, entry, name.as_bytes(), entry.row.id.0) {
                    return Ok(false);
                }
            }
            after = page.entries().last().map_or(after, |last| last.row.id.0);
            has_folders = !page.end && !page.entries().is_empty();
        }
        let mut after = VersionId(from.cookie.saturating_sub(VERSION_FILEID));
        loop {
            let listed = directory.versions(folder.row.id, after, STEP_VERSIONS).await;
            let (versions, more) = listed.map_err(stale_if_gone)?;
            for kept in &versions {
                let Some(name) = name_of(kept) else { continue };
                if !add(&place_of(dir, kept), &kept.entry, &name, VERSION_FILEID | kept.id.0) {
                    return Ok(false);
                }
            }
            match versions.last() {
                Some(last) if more => after = last.id,
                _ => return Ok(true),
            }
        }
    }
}

/// Whether a folder is known to have folders. One that was deleted with all that was in it had some, and has none.
fn has_folders(folder: &Entry) -> bool {
    matches!(folder.row.body, Body::Folder { subfolders } if subfolders > 0)
}

fn shown<C: StorageCenter>(dir: &Object<'_, C>, place: &Place, entry: &Entry) -> Attributes {
    match place.view {
        // The root from which one came here.
        View::Files | View::Srl => attributes::attributes(entry, None, dir.export.fsid()),
        View::Kept | View::Version(_) => attributes(&dir.export, place, entry),
    }
}

/// The folder above one: of `.versions` itself the export's root.
async fn above<C: StorageCenter>(dir: &Object<'_, C>, folder: &Arc<Entry>) -> FsResult<(Place, Arc<Entry>)> {
    let above = parent(dir, folder).await?;
    let view = if above.row.id == folder.row.id { View::Files } else { View::Kept };
    Ok((Place { view, object: above.row.id, ..dir.place }, above))
}

/// What a name is: a version, or a folder that is there.
async fn child<C: StorageCenter>(
    dir: &Object<'_, C>,
    folder: &Entry,
    name: &[u8],
) -> FsResult<Option<(Place, Arc<Entry>)>> {
    let directory = &dir.customer.directory;
    if let Some(id) = name::number(name)
        && let Some(kept) = directory.version_in(folder.row.id, id).await?
        && name_of(&kept).as_deref() == Some(name)
    {
        return Ok(Some((place_of(dir, &kept), kept.entry)));
    }
    let there = directory.lookup(folder.row.id, name).await?;
    let there = there.filter(|entry| content_of(&entry.row).is_none());
    Ok(there.map(|entry| (Place { object: entry.row.id, ..dir.place }, entry)))
}

fn name_of(kept: &Kept) -> Option<Vec<u8>> {
    let name = kept.entry.row.name.as_ref()?;
    Some(name::of(name.as_bytes(), kept.at, kept.id))
}

fn place_of<C>(dir: &Object<'_, C>, kept: &Kept) -> Place {
    let view = match kept.entry.row.body {
        Body::Folder { .. } => View::Kept,
        Body::File { .. } => View::Version(kept.id),
    };
    Place { view, object: kept.entry.row.id, ..dir.place }
}
