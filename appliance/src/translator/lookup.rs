//! Finding objects and saying what may be done with them: MOUNT, LOOKUP, READLINK, ACCESS.

use std::sync::Arc;

use bytes::Bytes;
use nfs::filesystem::{Access, Attributes, Caller, FsError, FsResult, Handle};

use super::attributes::permissions;
use super::export::Export;
use super::handle::{Place, Tree, View};
use super::{Object, Translator, kept};
use crate::center::StorageCenter;
use crate::customer::Customer;
use crate::directory_cache::Entry;
use crate::uploader::content_of;

/// What a path leads to.
pub struct Located<C> {
    /// Of an export of which kind.
    pub tree: Tree,
    /// Whose.
    pub customer: Arc<Customer<C>>,
    /// The folder or file.
    pub entry: Arc<Entry>,
}

impl<C: StorageCenter> Translator<C> {
    /// MOUNT: the folder at `path`, an export or one below it.
    pub(super) async fn mount_path(&self, caller: &Caller, path: &str) -> FsResult<Handle> {
        let exports = self.exports.load_full();
        let (export, rest) = exports.find(path).ok_or(FsError::NotFound)?;
        if !self.duty.is_on() {
            return Err(FsError::TryLater);
        }
        if !export.admits(caller.address) {
            return Err(FsError::AccessDenied);
        }
        let customer = self.customers.get(&export.customer).ok_or(FsError::NotFound)?;
        if let [kept::NAME, below @ ..] = &rest[..]
            && export.versions
        {
            return self.mount_kept(caller, export, customer, below).await;
        }
        let entry = descend(export, customer, &rest).await?;
        if content_of(&entry.row).is_some() {
            return Err(FsError::NotDirectory);
        }
        Ok(self.handle_in(export, &entry))
    }

    /// What an operator means by a path: an export, or what is in it, whoever may use it and whether or not the port is on
    /// duty.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory` where a name on the way is a file's, and those of the center.
    pub async fn locate(&self, path: &str) -> FsResult<Located<C>> {
        let exports = self.exports.load_full();
        let (export, rest) = exports.find(path).ok_or(FsError::NotFound)?;
        let customer = self.customers.get(&export.customer).ok_or(FsError::NotFound)?;
        let entry = descend(export, customer, &rest).await?;
        Ok(Located { tree: export.tree, customer: Arc::clone(customer), entry })
    }

    fn handle_in(&self, export: &Export, entry: &Entry) -> Handle {
        let Export { tree, id, customer, .. } = *export;
        self.key.seal(&Place { view: View::from(tree), export: id, customer, object: entry.row.id })
    }

    /// What a probe may ask for while the port is off duty: an export's root.
    pub(super) async fn probed<'a>(&'a self, caller: &'a Caller, handle: &Handle) -> FsResult<Object<'a, C>> {
        let object = self.named(caller, handle)?;
        let root = root(&object.export, object.customer).await?;
        if object.place.object == root.row.id { Ok(object) } else { Err(FsError::TryLater) }
    }

    /// The root of the first export, in order of path, for probes; `None` while the storage center never said which
    /// folder it is.
    pub async fn probe_handle(&self) -> Option<Handle> {
        let exports = self.exports.load_full();
        let export = exports.iter().next()?;
        let root = root(export, self.customers.get(&export.customer)?).await.ok()?;
        Some(self.handle_in(export, &root))
    }

    /// LOOKUP. `..` of an export's root is the root itself: no name leads out of an export.
    pub(super) async fn look_up(
        &self,
        caller: &Caller,
        dir: &Handle,
        name: &[u8],
    ) -> FsResult<(Handle, Attributes)> {
        let mut dir = self.object(caller, dir)?;
        let (folder, permissions) = dir.folder().await?;
        permissions.may_search(&dir.who)?;
        if dir.place.view == View::Kept {
            return self.look_up_kept(&dir, &folder, name).await;
        }
        match name {
            b"." => Ok(self.found(&dir, &folder)),
            b".." => Ok(self.found(&dir, &*parent(&dir, &folder).await?)),
            _ if kept::is_entrance(&dir, &folder, name).await? => Ok(self.kept_top(&dir.export, &folder)),
            _ => {
                let entry = dir.customer.directory.lookup(folder.row.id, name).await?;
                let entry = entry.ok_or(FsError::NotFound)?;
                dir.heed_rule_for(&entry).await?;
                Ok(self.found(&dir, &entry))
            }
        }
    }

    /// ACCESS.
    pub(super) async fn rights(
        &self,
        caller: &Caller,
        object: &Handle,
        wanted: Access,
    ) -> FsResult<(Access, Attributes)> {
        let mut object = self.object(caller, object)?;
        let staged = self.staged(&object);
        let entry = object.entry().await?;
        object.heed_rule_for(&entry).await?;
        let attributes = self.show(&object, &entry, staged.as_ref());
        // Of the attributes shown: but for the files themselves they are not the file's own.
        let mut permissions = permissions(&entry);
        permissions.mode = attributes.mode;
        Ok((permissions.access(&object.who, wanted, object.is_read_only()), attributes))
    }

    /// READLINK.
    pub(super) async fn link_text(&self, caller: &Caller, link: &Handle) -> FsResult<Bytes> {
        let entry = self.object(caller, link)?.entry().await?;
        entry.unix.symlink.as_deref().map(Bytes::copy_from_slice).ok_or(FsError::Invalid)
    }
}

/// The folder above one; of an export's root, itself. `Stale` for a folder that was moved out of the export since its
/// handle was given: nobody climbs out of an export by it.
pub(super) async fn parent<C: StorageCenter>(
    object: &Object<'_, C>,
    folder: &Arc<Entry>,
) -> FsResult<Arc<Entry>> {
    let top = root(&object.export, object.customer).await?.row.id;
    let Some(parent) = folder.row.parent.filter(|_| folder.row.id != top) else {
        return Ok(Arc::clone(folder));
    };
    let above = object.beside(parent).await?;
    let mut ancestor = Arc::clone(&above);
    // Below the customer's root is everything.
    while ancestor.row.id != top && !object.export.folder.is_empty() {
        ancestor = object.beside(ancestor.row.parent.ok_or(FsError::Stale)?).await?;
    }
    Ok(above)
}

/// The root folder of an export.
pub(super) async fn root<C: StorageCenter>(export: &Export, customer: &Customer<C>) -> FsResult<Arc<Entry>> {
    let mut entry = customer.directory.root().await?;
    for name in &export.folder {
        entry = child(customer, &entry, name).await.inspect_err(|error| {
            if *error == FsError::NotFound {
                tracing::error!(
                    export = export.path,
                    "the folder of this export does not exist in the storage center: make it there, or mend `folder`"
                );
            }
        })?;
    }
    Ok(entry)
}

/// What is at the end of `names`, from the root of an export on.
async fn descend<C: StorageCenter>(
    export: &Export,
    customer: &Customer<C>,
    names: &[&str],
) -> FsResult<Arc<Entry>> {
    let mut entry = root(export, customer).await?;
    for name in names {
        entry = child(customer, &entry, name.as_bytes()).await?;
    }
    Ok(entry)
}

async fn child<C: StorageCenter>(
    customer: &Customer<C>,
    folder: &Entry,
    name: &[u8],
) -> FsResult<Arc<Entry>> {
    if content_of(&folder.row).is_some() {
        return Err(FsError::NotDirectory);
    }
    customer.directory.lookup(folder.row.id, name).await?.ok_or(FsError::NotFound)
}
