//! Who may do what: UNIX permission bits, as a Linux NFS server reads them.
//!
//! Pure. Takes a caller as the export sees it (already squashed) and an object's owner, group and mode; knows nothing
//! of exports, rows or the wire.

use std::borrow::Cow;

use nfs::filesystem::{Access, FileKind, FsError, SetAttributes, SetTime};

/// Permission bit: set user id on execution.
pub const SET_UID: u32 = 0o4000;
/// Permission bit: set group id on execution; of a folder: new entries take its group.
pub const SET_GID: u32 = 0o2000;
/// Permission bit: only owners may remove entries of this folder.
pub const STICKY: u32 = 0o1000;

const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// A caller as an export sees it: squashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Cow<'a, [u32]>,
}

impl Identity<'_> {
    /// Whether permission bits do not bind this caller.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether `gid` is the primary or a supplementary group.
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    fn owns(&self, object: &Permissions) -> bool {
        self.is_root() || self.uid == object.uid
    }
}

/// Whose an object is, and its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// What the object is.
    pub kind: FileKind,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Permissions {
    /// The read, write and execute bits that hold for this caller: those of the first class he is in. Root reads and
    /// writes everything, searches every folder, and executes what anybody may execute.
    fn granted(&self, who: &Identity) -> u32 {
        if who.is_root() {
            let executable = self.kind == FileKind::Directory || self.mode & 0o111 != 0;
            return READ | WRITE | if executable { EXECUTE } else { 0 };
        }
        let class = match who {
            _ if who.uid == self.uid => self.mode >> 6,
            _ if who.in_group(self.gid) => self.mode >> 3,
            _ => self.mode,
        };
        class & 7
    }

    fn require(&self, who: &Identity, bits: u32) -> Result<(), FsError> {
        if self.granted(who) & bits == bits { Ok(()) } else { Err(FsError::AccessDenied) }
    }

    /// READ: the bits; the owner always, because his program may have opened the file before it lost the right; and
    /// whoever may execute the file, because to execute it a client must read it.
    pub fn may_read(&self, who: &Identity) -> Result<(), FsError> {
        if who.owns(self) || self.granted(who) & (READ | EXECUTE) != 0 {
            Ok(())
        } else {
            Err(FsError::AccessDenied)
        }
    }

    /// WRITE and truncation: the bits; the owner always, as for READ.
    pub fn may_write(&self, who: &Identity) -> Result<(), FsError> {
        if who.owns(self) { Ok(()) } else { self.require(who, WRITE) }
    }

    /// Listing a folder.
    pub fn may_list(&self, who: &Identity) -> Result<(), FsError> {
        self.require(who, READ)
    }

    /// Looking up a name in a folder.
    pub fn may_search(&self, who: &Identity) -> Result<(), FsError> {
        self.require(who, EXECUTE)
    }

    /// Adding an entry to a folder.
    pub fn may_add(&self, who: &Identity) -> Result<(), FsError> {
        self.require(who, WRITE | EXECUTE)
    }

    /// Taking an entry out of a folder. Of a sticky folder only the owner of the entry or of the folder may. `entry` is
    /// `None` where the entry is not known: then the VFS will say that there is none.
    pub fn may_remove(&self, who: &Identity, entry: Option<&Permissions>) -> Result<(), FsError> {
        self.may_add(who)?;
        match entry {
            Some(entry) if self.mode & STICKY != 0 && !who.owns(self) && !who.owns(entry) => {
                Err(FsError::NotOwner)
            }
            _ => Ok(()),
        }
    }

    /// The rights among `wanted` that the caller has (RFC 1813 §3.3.4): by the bits alone, without the owner's
    /// privilege of READ and WRITE, so that a client's `open` fails where a local one would.
    pub fn access(&self, who: &Identity, wanted: Access, read_only: bool) -> Access {
        let granted = self.granted(who);
        let mut rights = 0;
        if granted & READ != 0 {
            rights |= Access::READ;
        }
        if self.kind == FileKind::Directory {
            if granted & EXECUTE != 0 {
                rights |= Access::LOOKUP;
            }
            if granted & (WRITE | EXECUTE) == WRITE | EXECUTE {
                rights |= Access::MODIFY | Access::EXTEND | Access::DELETE;
            }
        } else {
            if granted & EXECUTE != 0 {
                rights |= Access::EXECUTE;
            }
            if granted & WRITE != 0 {
                rights |= Access::MODIFY | Access::EXTEND;
            }
        }
        if read_only {
            rights &= !(Access::MODIFY | Access::EXTEND | Access::DELETE);
        }
        Access(rights & wanted.0)
    }

    /// Owner, group and mode after SETATTR, or why the caller may not set what he asks.
    ///
    /// # Errors
    /// `NotOwner` where only the owner (or only root) may; `AccessDenied` for a size, marks or a present time without
    /// write permission; `IsDirectory` and `Invalid` for a size of what has none.
    pub fn set(&self, who: &Identity, set: &SetAttributes) -> Result<Permissions, FsError> {
        let mut new = *self;
        if set.size.is_some() {
            match self.kind {
                FileKind::Regular => self.may_write(who)?,
                FileKind::Directory => return Err(FsError::IsDirectory),
                FileKind::Symlink => return Err(FsError::Invalid),
            }
        }
        self.may_set_time(who, set.accessed)?;
        self.may_set_time(who, set.modified)?;
        self.may_set_time(who, set.born)?;
        if set.marks.is_some() && !who.owns(self) {
            self.require(who, WRITE)?;
        }
        if let Some(mode) = set.mode {
            if !who.owns(self) {
                return Err(FsError::NotOwner);
            }
            new.mode = mode & 0o7777;
        }
        if let Some(uid) = set.uid {
            if !(who.is_root() || who.owns(self) && uid == self.uid) {
                return Err(FsError::NotOwner);
            }
            new.uid = uid;
        }
        if let Some(gid) = set.gid {
            if !(who.is_root() || who.owns(self) && (gid == self.gid || who.in_group(gid))) {
                return Err(FsError::NotOwner);
            }
            new.gid = gid;
        }
        if self.kind != FileKind::Directory && (set.uid.is_some() || set.gid.is_some()) {
            new.mode = without_privilege(new.mode);
        }
        if set.mode.is_some() && !who.is_root() && !who.in_group(new.gid) {
            new.mode &= !SET_GID;
        }
        Ok(new)
    }

    fn may_set_time(&self, who: &Identity, time: SetTime) -> Result<(), FsError> {
        match time {
            SetTime::Keep => Ok(()),
            SetTime::ServerTime if who.owns(self) => Ok(()),
            SetTime::ServerTime => self.require(who, WRITE),
            SetTime::To(_) if who.owns(self) => Ok(()),
            SetTime::To(_) => Err(FsError::NotOwner),
        }
    }

    /// The mode after a WRITE or truncation by this caller: whoever changes a program's bytes takes its privilege away.
    pub fn mode_after_write(&self, who: &Identity) -> u32 {
        if who.is_root() { self.mode } else { without_privilege(self.mode) }
    }

    /// Owner, group and mode of a new entry of this folder.
    pub fn of_new(&self, who: &Identity, kind: FileKind, set: &SetAttributes) -> Permissions {
        let default_mode = match kind {
            FileKind::Regular => 0o644,
            FileKind::Directory => 0o755,
            FileKind::Symlink => 0o777,
        };
        let inherits = self.mode & SET_GID != 0;
        let mut new = Permissions {
            kind,
            mode: set.mode.unwrap_or(default_mode) & 0o7777,
            uid: who.uid,
            gid: if inherits { self.gid } else { who.gid },
        };
        if who.is_root() {
            new.uid = set.uid.unwrap_or(new.uid);
            new.gid = set.gid.unwrap_or(new.gid);
        } else if let Some(gid) = set.gid.filter(|&gid| who.in_group(gid) && !inherits) {
            new.gid = gid;
        }
        match kind {
            FileKind::Directory if inherits => new.mode |= SET_GID,
            FileKind::Directory => {}
            _ if !who.is_root() && !who.in_group(new.gid) => new.mode &= !SET_GID,
            _ => {}
        }
        new
    }
}

/// `mode` without set-user-id, and without set-group-id where it means privilege (with group execution).
fn without_privilege(mode: u32) -> u32 {
    let kept = if mode & 0o010 != 0 { !(SET_UID | SET_GID) } else { !SET_UID };
    mode & kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs::filesystem::Time;

    fn who(uid: u32, gid: u32, groups: &'static [u32]) -> Identity<'static> {
        Identity { uid, gid, groups: Cow::Borrowed(groups) }
    }

    fn object(kind: FileKind, mode: u32, uid: u32, gid: u32) -> Permissions {
        Permissions { kind, mode, uid, gid }
    }

    const ALL: Access = Access(0x3f);

    #[test]
    fn access_follows_the_first_class_the_caller_is_in() {
        let owner = who(1000, 100, &[]);
        let member = who(1001, 7, &[5, 100]);
        let other = who(1002, 7, &[]);
        let root = who(0, 0, &[]);
        let file = |mode| object(FileKind::Regular, mode, 1000, 100);
        let read = Access::READ;
        let write = Access::MODIFY | Access::EXTEND;
        let table = [
            (&owner, 0o600, read | write),
            (&member, 0o600, 0),
            (&other, 0o600, 0),
            (&owner, 0o077, 0),
            (&member, 0o640, read),
            (&member, 0o604, 0),
            (&other, 0o604, read),
            (&other, 0o001, Access::EXECUTE),
            (&root, 0o000, read | write),
            (&root, 0o010, read | write | Access::EXECUTE),
        ];
        for (who, mode, expected) in table {
            assert_eq!(file(mode).access(who, ALL, false).0, expected, "{who:?} {mode:o}");
        }
    }

    #[test]
    fn access_to_a_folder_needs_search_to_change_entries() {
        let who = who(1000, 100, &[]);
        let folder = |mode| object(FileKind::Directory, mode, 1000, 100);
        let change = Access::MODIFY | Access::EXTEND | Access::DELETE;
        let table = [
            (0o400, Access::READ),
            (0o500, Access::READ | Access::LOOKUP),
            (0o600, Access::READ),
            (0o300, Access::LOOKUP | change),
            (0o700, Access::READ | Access::LOOKUP | change),
        ];
        for (mode, expected) in table {
            assert_eq!(folder(mode).access(&who, ALL, false).0, expected, "{mode:o}");
        }
        assert_eq!(folder(0o700).access(&who, ALL, true).0, Access::READ | Access::LOOKUP, "read-only");
        assert_eq!(folder(0o700).access(&who, Access(Access::LOOKUP), false).0, Access::LOOKUP, "not asked");
    }

    #[test]
    fn the_owner_reads_and_writes_whatever_the_bits_say() {
        let file = object(FileKind::Regular, 0o000, 1000, 100);
        assert_eq!(file.may_read(&who(1000, 1, &[])), Ok(()));
        assert_eq!(file.may_write(&who(1000, 1, &[])), Ok(()));
        assert_eq!(file.may_read(&who(1001, 100, &[])), Err(FsError::AccessDenied));
        assert_eq!(file.may_write(&who(1001, 100, &[])), Err(FsError::AccessDenied));
        let program = object(FileKind::Regular, 0o711, 1000, 100);
        assert_eq!(program.may_read(&who(1001, 1, &[])), Ok(()), "to execute is to read");
    }

    #[test]
    fn a_sticky_folder_keeps_entries_for_their_owners() {
        let folder = object(FileKind::Directory, 0o1777, 0, 0);
        let mine = object(FileKind::Regular, 0o644, 1000, 100);
        assert_eq!(folder.may_remove(&who(1000, 1, &[]), Some(&mine)), Ok(()));
        assert_eq!(folder.may_remove(&who(1001, 1, &[]), Some(&mine)), Err(FsError::NotOwner));
        assert_eq!(folder.may_remove(&who(0, 0, &[]), Some(&mine)), Ok(()));
        assert_eq!(folder.may_remove(&who(1001, 1, &[]), None), Ok(()));
        let his = object(FileKind::Directory, 0o1777, 1001, 0);
        assert_eq!(his.may_remove(&who(1001, 1, &[]), Some(&mine)), Ok(()), "owner of the folder");
    }

    #[test]
    fn setattr_is_for_the_owner() {
        let file = object(FileKind::Regular, 0o6755, 1000, 100);
        let set = |f: fn(&mut SetAttributes)| {
            let mut set = SetAttributes::default();
            f(&mut set);
            set
        };
        let owner = who(1000, 100, &[200]);
        let other = who(1001, 100, &[]);
        let root = who(0, 0, &[]);
        assert_eq!(file.set(&other, &set(|s| s.mode = Some(0o777))), Err(FsError::NotOwner));
        assert_eq!(file.set(&owner, &set(|s| s.mode = Some(0o640))).map(|new| new.mode), Ok(0o640));
        assert_eq!(file.set(&owner, &set(|s| s.uid = Some(1001))), Err(FsError::NotOwner));
        assert_eq!(file.set(&root, &set(|s| s.uid = Some(1001))).map(|new| new.uid), Ok(1001));
        assert_eq!(file.set(&owner, &set(|s| s.gid = Some(300))), Err(FsError::NotOwner));
        let moved = file.set(&owner, &set(|s| s.gid = Some(200)));
        assert_eq!(moved.map(|new| (new.gid, new.mode)), Ok((200, 0o755)), "chown takes the privilege");
        let now = set(|s| s.modified = SetTime::ServerTime);
        let then = set(|s| s.modified = SetTime::To(Time::default()));
        let shared = object(FileKind::Regular, 0o666, 1000, 100);
        assert_eq!(shared.set(&other, &now), Ok(shared));
        assert_eq!(file.set(&other, &now), Err(FsError::AccessDenied));
        assert_eq!(shared.set(&other, &then), Err(FsError::NotOwner));
        let folder = object(FileKind::Directory, 0o755, 1000, 100);
        assert_eq!(folder.set(&owner, &set(|s| s.size = Some(0))), Err(FsError::IsDirectory));
    }

    #[test]
    fn a_stranger_to_the_group_loses_set_gid() {
        let file = object(FileKind::Regular, 0o644, 1000, 100);
        let set = SetAttributes { mode: Some(0o2755), ..SetAttributes::default() };
        assert_eq!(file.set(&who(1000, 7, &[]), &set).map(|new| new.mode), Ok(0o755));
        assert_eq!(file.set(&who(1000, 100, &[]), &set).map(|new| new.mode), Ok(0o2755));
    }

    #[test]
    fn writing_takes_privilege_unless_root_writes() {
        let file = object(FileKind::Regular, 0o6755, 1000, 100);
        assert_eq!(file.mode_after_write(&who(1000, 100, &[])), 0o755);
        assert_eq!(file.mode_after_write(&who(0, 0, &[])), 0o6755);
        let locked = object(FileKind::Regular, 0o2644, 1000, 100);
        assert_eq!(locked.mode_after_write(&who(1000, 100, &[])), 0o2644, "no group execution: a lock bit");
    }

    #[test]
    fn new_entries_inherit_the_group_of_a_set_gid_folder() {
        let folder = object(FileKind::Directory, 0o2775, 0, 500);
        let who = who(1000, 100, &[]);
        let file = folder.of_new(&who, FileKind::Regular, &SetAttributes::default());
        assert_eq!((file.uid, file.gid, file.mode), (1000, 500, 0o644));
        let sub = folder.of_new(&who, FileKind::Directory, &SetAttributes::default());
        assert_eq!((sub.gid, sub.mode), (500, 0o2755));
        let plain = object(FileKind::Directory, 0o755, 0, 500);
        assert_eq!(plain.of_new(&who, FileKind::Regular, &SetAttributes::default()).gid, 100);
        let wants = SetAttributes { uid: Some(0), mode: Some(0o4755), ..SetAttributes::default() };
        assert_eq!(plain.of_new(&who, FileKind::Regular, &wants).uid, 1000, "only root gives files away");
    }
}
