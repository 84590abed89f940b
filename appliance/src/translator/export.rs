//! The exports: what a site offers to whom, under which path (PORT-2).
//!
//! An export's options hold on every call, by the export id in the handle, not only when it is mounted: a client that
//! kept a handle of an export it may no longer use gets nothing by it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use nfs::filesystem::{Caller, FsError, FsResult};
use protocol::id::CustomerId;
use protocol::srl::SrlVersion;

use super::access::Identity;
use super::handle::{ExportId, Tree};

/// Whose rights a caller has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Squash {
    /// His own.
    None,
    /// His own, but root has the anonymous user's.
    #[default]
    Root,
    /// The anonymous user's.
    All,
}

/// How SRLs of an `srl` tree are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrlOptions {
    /// Seconds for which an SRL is good at least; 0 for ever (PORT-14).
    pub seconds: u64,
    /// What stands before the SRL's path: `http://host:port`.
    pub host: String,
    /// How it is signed.
    pub version: SrlVersion,
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its id in handles: [`ExportId::of`] its path and folder.
    pub id: ExportId,
    /// The path clients mount; absolute, without a `/` at its end.
    pub path: String,
    /// Files or SRLs.
    pub tree: Tree,
    /// Whose tree.
    pub customer: CustomerId,
    /// Which folder of it, name by name from the root.
    pub folder: Vec<Vec<u8>>,
    /// Who may use it; everybody if empty.
    pub allowed: Vec<IpNetwork>,
    /// Whether nothing may be changed through it.
    pub read_only: bool,
    /// Whether each change of a name is told.
    pub audit: bool,
    /// Whether `.versions` in its root leads to what is kept of deleted and overwritten files; for the tree of files.
    pub versions: bool,
    /// Whose rights callers have.
    pub squash: Squash,
    /// The anonymous user.
    pub anonymous_uid: u32,
    /// The anonymous user's group.
    pub anonymous_gid: u32,
    /// For the `srl` tree.
    pub srl: SrlOptions,
}

impl Export {
    /// Which file system clients see: another one for each export, for two exports show objects of the same ids.
    pub fn fsid(&self) -> u64 {
        u64::from(self.id.0)
    }

    /// Whether a client at this address may use it.
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.is_empty() || self.allowed.iter().any(|network| network.contains(address))
    }

    /// The caller as this export sees him.
    pub fn identity<'a>(&self, caller: &'a Caller) -> Identity<'a> {
        let squash = |id: u32, anonymous: u32| if id == 0 { anonymous } else { id };
        match self.squash {
            Squash::None => {
                Identity { uid: caller.uid, gid: caller.gid, groups: Cow::Borrowed(&caller.groups) }
            }
            Squash::All => {
                Identity { uid: self.anonymous_uid, gid: self.anonymous_gid, groups: Cow::Borrowed(&[]) }
            }
            Squash::Root => Identity {
                uid: squash(caller.uid, self.anonymous_uid),
                gid: squash(caller.gid, self.anonymous_gid),
                groups: if caller.groups.contains(&0) {
                    caller.groups.iter().map(|&gid| squash(gid, self.anonymous_gid)).collect()
                } else {
                    Cow::Borrowed(&caller.groups)
                },
            },
        }
    }
}

/// All exports of a port.
#[derive(Clone, Debug, Default)]
pub struct Exports {
    by_id: HashMap<ExportId, Arc<Export>>,
}

/// Two exports would get the same id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exports {0} and {1} cannot be told apart: give one of them another path")]
pub struct SameExport(pub String, pub String);

impl Exports {
    /// Takes the exports.
    ///
    /// # Errors
    /// Two of one path, or (once in four billion) of the same id.
    pub fn new(exports: impl IntoIterator<Item = Export>) -> Result<Self, SameExport> {
        let mut by_id: HashMap<_, Arc<Export>> = HashMap::new();
        for export in exports {
            let is_same = |other: &&Arc<Export>| other.id == export.id || other.path == export.path;
            if let Some(same) = by_id.values().find(is_same) {
                return Err(SameExport(same.path.clone(), export.path));
            }
            by_id.insert(export.id, Arc::new(export));
        }
        Ok(Self { by_id })
    }

    /// All of them, in order of path.
    pub fn iter(&self) -> impl Iterator<Item = &Export> {
        let mut exports: Vec<_> = self.by_id.values().map(Arc::as_ref).collect();
        exports.sort_by(|a, b| a.path.cmp(&b.path));
        exports.into_iter()
    }

    /// The export of a handle; `Stale` if there is none any more, `AccessDenied` if the caller may not use it.
    pub fn of_handle(&self, id: ExportId, address: IpAddr) -> FsResult<&Arc<Export>> {
        let export = self.by_id.get(&id).ok_or(FsError::Stale)?;
        if export.admits(address) { Ok(export) } else { Err(FsError::AccessDenied) }
    }

    /// The export that `path` is in, and the names that lead from there to it. The longest matching path counts, whole
    /// names only: `/exports` is not in `/export`.
    pub fn find<'p>(&self, path: &'p str) -> Option<(&Arc<Export>, Vec<&'p str>)> {
        // A path begins at the root; `export` is not `/export`.
        let wanted: Vec<_> = names(path.strip_prefix('/')?).collect();
        self.by_id
            .values()
            .filter_map(|export| {
                let depth = names(&export.path).count();
                let is_in = wanted.len() >= depth && names(&export.path).eq(wanted[..depth].iter().copied());
                is_in.then(|| (export, wanted[depth..].to_vec()))
            })
            .min_by_key(|(_, rest)| rest.len())
    }
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

#[cfg(test)]
pub(crate) mod tests {
    use nfs::filesystem::RequestKey;

    use super::*;

    pub(crate) fn export(path: &str, tree: Tree) -> Export {
        Export {
            id: ExportId::of(path, &[]),
            path: path.into(),
            tree,
            customer: CustomerId(1),
            folder: Vec::new(),
            allowed: Vec::new(),
            read_only: false,
            audit: false,
            versions: false,
            squash: Squash::None,
            anonymous_uid: 65_534,
            anonymous_gid: 65_534,
            srl: SrlOptions {
                seconds: 3_600,
                host: "http://center.example".into(),
                version: SrlVersion::Md5,
            },
        }
    }

    fn caller(uid: u32, groups: Vec<u32>) -> Caller {
        Caller {
            address: [127, 0, 0, 1].into(),
            uid,
            gid: uid,
            groups: groups.into_iter().collect(),
            request: RequestKey([0; 16]),
        }
    }

    /// Whatever folders they show.
    #[test]
    fn two_exports_of_one_path_are_refused() {
        let whole = export("/e", Tree::Files);
        let folder = vec![b"public".to_vec()];
        let part = Export { id: ExportId::of("/e", &folder), folder, ..whole.clone() };
        let refused = Exports::new([whole, part]).unwrap_err();
        assert_eq!(refused, SameExport("/e".into(), "/e".into()));
    }

    #[test]
    fn a_path_belongs_to_the_longest_export_by_whole_names() {
        let paths = ["/export", "/export/deep", "/SRL"];
        let exports = Exports::new(paths.map(|path| export(path, Tree::Files))).unwrap();
        let found = |path| exports.find(path).map(|(export, rest)| (export.path.as_str(), rest));
        assert_eq!(found("/export"), Some(("/export", vec![])));
        assert_eq!(found("/export/"), Some(("/export", vec![])));
        assert_eq!(found("/export/a/b"), Some(("/export", vec!["a", "b"])));
        assert_eq!(found("/export/deep/x"), Some(("/export/deep", vec!["x"])));
        assert_eq!(found("/exports"), None);
        assert_eq!(found("/exportdir"), None);
        assert_eq!(found("/"), None);
    }

    #[test]
    fn root_is_squashed_where_it_should_be() {
        let squashed = |squash, uid, groups| {
            let export = Export { squash, ..export("/e", Tree::Files) };
            let caller = caller(uid, groups);
            let who = export.identity(&caller);
            (who.uid, who.gid, who.groups.into_owned())
        };
        let nobody = 65_534;
        assert_eq!(squashed(Squash::None, 0, vec![0, 5]), (0, 0, vec![0, 5]));
        assert_eq!(squashed(Squash::Root, 0, vec![0, 5]), (nobody, nobody, vec![nobody, 5]));
        assert_eq!(squashed(Squash::Root, 7, vec![5]), (7, 7, vec![5]));
        assert_eq!(squashed(Squash::All, 7, vec![5]), (nobody, nobody, vec![]));
    }

    #[test]
    fn only_allowed_networks_use_an_export() {
        let allowed = vec!["10.1.0.0/16".parse().unwrap()];
        let exports = Exports::new([Export { allowed, ..export("/e", Tree::Files) }]).unwrap();
        let id = ExportId::of("/e", &[]);
        assert!(exports.of_handle(id, [10, 1, 2, 3].into()).is_ok());
        assert!(exports.of_handle(id, "::ffff:10.1.2.3".parse().unwrap()).is_ok(), "mapped");
        assert_eq!(exports.of_handle(id, [10, 2, 0, 1].into()).err(), Some(FsError::AccessDenied));
        let gone = exports.of_handle(ExportId::of("/gone", &[]), [10, 1, 2, 3].into());
        assert_eq!(gone.err(), Some(FsError::Stale));
    }

    #[test]
    fn one_path_is_one_export() {
        let twice = [export("/e", Tree::Files), export("/e", Tree::Srl)];
        assert_eq!(Exports::new(twice).err(), Some(SameExport("/e".into(), "/e".into())));
    }
}
