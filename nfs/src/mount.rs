//! MOUNT (RFC 1813 appendix I): from the path of an export to the handle of its root, and who mounted what.
//!
//! Version 3 whole; of versions 1 and 2 what `showmount` asks and what needs no handle, because theirs are too short
//! for ours. The table of mounts only informs: no access ever depends on it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::filesystem::{Caller, Filesystem, FsError};
use crate::rpc::{Refusal, flavour};
use crate::xdr::{Decoder, Encoder, XdrResult};

/// Program number of MOUNT.
pub const PROGRAM: u32 = 100_005;
/// Lowest version served.
pub const VERSION_MIN: u32 = 1;
/// Highest version served.
pub const VERSION_MAX: u32 = 3;
/// Longest path (`MNTPATHLEN`).
const PATH_BYTES_MAX: usize = 1024;

/// Procedure numbers.
pub(crate) mod procedure {
    pub const NULL: u32 = 0;
    pub const MNT: u32 = 1;
    pub const DUMP: u32 = 2;
    pub const UMNT: u32 = 3;
    pub const UMNTALL: u32 = 4;
    pub const EXPORT: u32 = 5;
}

/// Who mounted what: bounded, the oldest gives way.
#[derive(Debug)]
pub struct Table {
    mounts_max: usize,
    mounts: Mutex<VecDeque<Mounted>>,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub client: IpAddr,
    pub path: String,
    /// When it was asked for last.
    pub at: Instant,
}

impl Table {
    /// Remembers `mounts_max` mounts at most.
    pub fn new(mounts_max: usize) -> Self {
        Self { mounts_max, mounts: Mutex::new(VecDeque::new()) }
    }

    /// No code panics while it holds the lock, and a list of names cannot be left half changed.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Mounted>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mounted: Mounted) {
        let mut mounts = self.lock();
        mounts.retain(|known| (known.client, &known.path) != (mounted.client, &mounted.path));
        if mounts.len() >= self.mounts_max {
            mounts.pop_front();
        }
        mounts.push_back(mounted);
    }

    fn remove(&self, client: IpAddr, path: Option<&str>) {
        self.lock().retain(|known| known.client != client || path.is_some_and(|path| known.path != path));
    }

    /// All of them, the oldest first.
    pub(crate) fn list(&self) -> Vec<Mounted> {
        self.lock().iter().cloned().collect()
    }
}

/// What every procedure works with.
pub(crate) struct Context<'a, F> {
    pub filesystem: &'a F,
    pub caller: &'a Caller,
    pub mounts: &'a Table,
}

/// Carries out one call: reads `args` and appends the results to `out`.
///
/// # Errors
/// The arguments cannot be read, or there is no such procedure in this version; `out` is to be thrown away.
pub(crate) async fn call<F: Filesystem>(
    context: &Context<'_, F>,
    version: u32,
    procedure: u32,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> Result<(), Refusal> {
    match (procedure, version) {
        (procedure::NULL, _) => {}
        (procedure::MNT, VERSION_MAX) => {
            let path = decode_path(args)?;
            mnt(context, path, out).await;
        }
        (procedure::DUMP, _) => dump(context.filesystem, context.mounts, out),
        (procedure::UMNT, _) => {
            if let Some(path) = decode_path(args)? {
                context.mounts.remove(context.caller.address, Some(path));
            }
        }
        (procedure::UMNTALL, _) => context.mounts.remove(context.caller.address, None),
        (procedure::EXPORT, _) => export(context.filesystem, out),
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(())
}

/// A path without the slashes some clients put at its end; `None` if it is no text and so can be no export's.
fn decode_path<'a>(args: &mut Decoder<'a>) -> XdrResult<Option<&'a str>> {
    let path = args.opaque(PATH_BYTES_MAX)?;
    args.end()?;
    Ok(std::str::from_utf8(path).ok().map(|path| match path.trim_end_matches('/') {
        "" if !path.is_empty() => "/",
        trimmed => trimmed,
    }))
}

async fn mnt<F: Filesystem>(context: &Context<'_, F>, path: Option<&str>, out: &mut Encoder) {
    let mounted = match path {
        Some(path) => context.filesystem.mount(context.caller, path).await.map(|root| (path, root)),
        None => Err(FsError::NotFound),
    };
    match mounted {
        Ok((path, root)) => {
            let client = context.caller.address;
            context.mounts.add(Mounted { client, path: path.to_owned(), at: Instant::now() });
            out.u32(0);
            out.opaque(root.as_bytes());
            let flavours = [flavour::SYS];
            out.u32(flavours.len() as u32);
            out.u32s(flavours);
        }
        Err(error) => out.u32(status(error)),
    }
}

/// `mountstat3`.
const fn status(error: FsError) -> u32 {
    match error {
        FsError::NotOwner => 1,
        FsError::NotFound | FsError::Stale | FsError::BadHandle => 2,
        FsError::Io => 5,
        FsError::AccessDenied => 13,
        FsError::NotDirectory => 20,
        FsError::Invalid => 22,
        FsError::NameTooLong => 63,
        FsError::NotSupported => 10004,
        // "Server failure" is what makes a client try again.
        _ => 10006,
    }
}

/// What was mounted of an export that is there no more is no mount: its handles are stale.
fn dump<F: Filesystem>(filesystem: &F, mounts: &Table, out: &mut Encoder) {
    let exports = filesystem.exports();
    let is_exported = |mounted: &Mounted| exports.iter().any(|export| is_in(&mounted.path, &export.path));
    for Mounted { client, path, .. } in mounts.list().into_iter().filter(is_exported) {
        out.bool(true);
        out.opaque(client.to_string().as_bytes());
        out.opaque(path.as_bytes());
    }
    out.bool(false);
}

/// Whether a mounted path is an export's or below it, by whole names.
fn is_in(path: &str, export: &str) -> bool {
    let below = path.strip_prefix(export.trim_end_matches('/'));
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn export<F: Filesystem>(filesystem: &F, out: &mut Encoder) {
    for export in filesystem.exports() {
        out.bool(true);
        out.opaque(export.path.as_bytes());
        for network in &export.allowed {
            out.bool(true);
            out.opaque(network.as_bytes());
        }
        out.bool(false);
    }
    out.bool(false);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(host: u8, path: &str) -> Mounted {
        Mounted { client: [192, 0, 2, host].into(), path: path.to_owned(), at: Instant::now() }
    }

    fn listed(table: &Table) -> Vec<(IpAddr, String)> {
        table.list().into_iter().map(|mounted| (mounted.client, mounted.path)).collect()
    }

    fn known(host: u8, path: &str) -> (IpAddr, String) {
        ([192, 0, 2, host].into(), path.to_owned())
    }

    #[test]
    fn the_table_forgets_the_oldest_and_holds_nothing_twice() {
        let table = Table::new(2);
        for mount in [mounted(1, "/export"), mounted(2, "/export"), mounted(1, "/export"), mounted(3, "/SRL")]
        {
            table.add(mount);
        }
        assert_eq!(listed(&table), [known(1, "/export"), known(3, "/SRL")]);
    }

    #[test]
    fn unmounting_forgets_one_path_or_all_of_the_client() {
        let table = Table::new(9);
        for mount in [mounted(1, "/export"), mounted(1, "/SRL"), mounted(2, "/SRL")] {
            table.add(mount);
        }
        table.remove([192, 0, 2, 1].into(), Some("/SRL"));
        assert_eq!(listed(&table), [known(1, "/export"), known(2, "/SRL")]);
        table.remove([192, 0, 2, 1].into(), None);
        assert_eq!(listed(&table), [known(2, "/SRL")]);
    }

    #[test]
    fn a_mount_belongs_to_an_export_by_whole_names() {
        for (path, export, expected) in [
            ("/export", "/export", true),
            ("/export/deep", "/export", true),
            ("/exports", "/export", false),
            ("/", "/export", false),
            ("/anything", "/", true),
        ] {
            assert_eq!(is_in(path, export), expected, "{path} in {export}");
        }
    }

    #[test]
    fn paths_lose_slashes_at_their_end_alone() {
        let path = |text: &str| {
            let mut out = Encoder::new();
            out.opaque(text.as_bytes());
            decode_path(&mut Decoder::new(&out.into_bytes())).map(|path| path.map(str::to_owned))
        };
        assert_eq!(path("/export/"), Ok(Some("/export".to_owned())));
        assert_eq!(path("/export"), Ok(Some("/export".to_owned())));
        assert_eq!(path("/"), Ok(Some("/".to_owned())));
        assert_eq!(path(""), Ok(Some(String::new())));
    }
}
