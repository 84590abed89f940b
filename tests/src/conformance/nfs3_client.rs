//! The crate `nfs3_client` as a client. A connection of its own for each caller, as the crate binds them together.

use std::net::SocketAddr;
use std::time::Duration;

use nfs3_client::tokio::{TokioConnector, TokioIo};
use nfs3_client::{MountClient, MountError, Nfs3Client as Library, RpcError, net::Connector};
use nfs3_types::mount::dirpath;
use nfs3_types::nfs3::*;
use nfs3_types::rpc::opaque_auth;
use nfs3_types::xdr_codec::Opaque;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::call::{
    Attributes, Before, Call, Entry, Handle, How, List, Place, Reply, Set, SetTime, Stable, Time, Wcc, status,
};
use super::client::Client;
use crate::rpc::Credential;

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Nfs3Client {
    runtime: Runtime,
    nfs: SocketAddr,
    mount: SocketAddr,
    connections: Vec<(Credential, Library<TokioIo<TcpStream>>)>,
}

impl Nfs3Client {
    /// A client of this server; it connects when it has something to say.
    pub fn new(nfs: SocketAddr, mount: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { runtime, nfs, mount, connections: Vec::new() }
    }
}

impl Client for Nfs3Client {
    fn call(&mut self, who: &Credential, call: &Call) -> Result<Reply, String> {
        let Self { runtime, nfs, mount, connections } = self;
        let answered = runtime.block_on(async {
            let work = async {
                if let Call::Mnt(_) | Call::Dump | Call::Umnt(_) | Call::Umntall | Call::Export = call {
                    return mount_call(*mount, who, call).await;
                }
                if !connections.iter().any(|(known, _)| known == who) {
                    let io = TokioConnector.connect(*nfs).await.map_err(RpcError::from)?;
                    let client = Library::new_with_auth(io, who.auth(), opaque_auth::default());
                    connections.push((who.clone(), client));
                }
                let index = connections.iter().position(|(known, _)| known == who).unwrap();
                nfs_call(&mut connections[index].1, call).await
            };
            tokio::time::timeout(PATIENCE, work).await
        });
        answered.map_err(|late| late.to_string())?.map_err(|error: RpcError| format!("nfs3_client: {error}"))
    }
}

async fn mount_call(server: SocketAddr, who: &Credential, call: &Call) -> Result<Reply, RpcError> {
    let io = TokioConnector.connect(server).await.map_err(RpcError::from)?;
    let mut client = MountClient::new_with_auth(io, who.auth(), opaque_auth::default());
    let path = |path: &[u8]| dirpath(Opaque::owned(path.to_vec()));
    let text = |bytes: &Opaque<'_>| String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let mut reply = Reply::default();
    match call {
        Call::Mnt(at) => match client.mnt(path(at)).await {
            Ok(mounted) => {
                reply.handle = Some(mounted.fhandle.0.to_vec());
                reply.numbers = mounted.auth_flavors.into_iter().map(u64::from).collect();
            }
            Err(MountError::Denied(refusal)) => reply.status = status(refusal as u32),
            Err(MountError::Rpc(error)) => return Err(error),
        },
        Call::Dump => {
            let line = |mount: &nfs3_types::mount::mountbody<'_, '_>| {
                format!("{}:{}", text(&mount.ml_hostname.0), text(&mount.ml_directory.0))
            };
            reply.lines = client.dump().await?.0.iter().map(line).collect();
        }
        Call::Umnt(at) => client.umnt(path(at)).await?,
        Call::Umntall => client.umntall().await?,
        Call::Export => {
            let line = |export: &nfs3_types::mount::export_node<'_, '_>| {
                let groups: Vec<String> = export.ex_groups.0.iter().map(|group| text(&group.0)).collect();
                format!("{}:{}", text(&export.ex_dir.0), groups.join(","))
            };
            reply.lines = client.export().await?.0.iter().map(line).collect();
        }
        _ => unreachable!("no call of MOUNT: {call:?}"),
    }
    Ok(reply)
}

async fn nfs_call(client: &mut Library<TokioIo<TcpStream>>, call: &Call) -> Result<Reply, RpcError> {
    let reply = match call {
        Call::Null => {
            client.null().await?;
            Reply::default()
        }
        Call::Getattr(object) => {
            let args = GETATTR3args { object: fh(object) };
            match client.getattr(&args).await? {
                Nfs3Result::Ok(ok) => of_object(Nfs3Option::Some(ok.obj_attributes)),
                Nfs3Result::Err((code, _)) => Reply { status: code, ..Reply::default() },
            }
        }
        Call::Setattr(object, set, guard) => {
            let guard = guard.map_or(Nfs3Option::None, |guard| Nfs3Option::Some(point(guard)));
            let args = SETATTR3args { object: fh(object), new_attributes: sattr(set), guard };
            either(client.setattr(&args).await?, |ok| changed(ok.obj_wcc), |fail| changed(fail.obj_wcc))
        }
        Call::Lookup(what) => either(
            client.lookup(&LOOKUP3args { what: place(what) }).await?,
            |ok| Reply {
                handle: Some(bytes(ok.object)),
                dir: attributes(ok.dir_attributes),
                ..of_object(ok.obj_attributes)
            },
            |fail| Reply { dir: attributes(fail.dir_attributes), ..Reply::default() },
        ),
        Call::Access(object, access) => either(
            client.access(&ACCESS3args { object: fh(object), access: *access }).await?,
            |ok| with_numbers(of_object(ok.obj_attributes), [ok.access]),
            |fail| of_object(fail.obj_attributes),
        ),
        Call::Readlink(link) => either(
            client.readlink(&READLINK3args { symlink: fh(link) }).await?,
            |ok| Reply { data: ok.data.0.to_vec(), ..of_object(ok.symlink_attributes) },
            |fail| of_object(fail.symlink_attributes),
        ),
        Call::Read(file, offset, count) => either(
            client.read(&READ3args { file: fh(file), offset: *offset, count: *count }).await?,
            |ok| {
                let reply = Reply { data: ok.data.to_vec(), ..of_object(ok.file_attributes) };
                with_numbers(reply, [ok.count, u32::from(ok.eof)])
            },
            |fail| of_object(fail.file_attributes),
        ),
        Call::Write(file, offset, count, stable, data) => {
            let stable = match stable {
                Stable::Unstable => stable_how::UNSTABLE,
                Stable::DataSync => stable_how::DATA_SYNC,
                Stable::FileSync => stable_how::FILE_SYNC,
            };
            let (offset, count, data) = (*offset, *count, Opaque::borrowed(data));
            either(
                client.write(&WRITE3args { file: fh(file), offset, count, stable, data }).await?,
                |ok| {
                    let reply = Reply { verifier: Some(ok.verf.0), ..changed(ok.file_wcc) };
                    with_numbers(reply, [ok.count, ok.committed as u32])
                },
                |fail| changed(fail.file_wcc),
            )
        }
        Call::Create(at, how) => {
            let how = match how {
                How::Unchecked(set) => createhow3::UNCHECKED(sattr(set)),
                How::Guarded(set) => createhow3::GUARDED(sattr(set)),
                How::Exclusive(verifier) => createhow3::EXCLUSIVE(createverf3(*verifier)),
            };
            either(
                client.create(&CREATE3args { where_: place(at), how }).await?,
                |ok| made(ok.obj, ok.obj_attributes, ok.dir_wcc),
                |fail| changed(fail.dir_wcc),
            )
        }
        Call::Mkdir(at, set) => either(
            client.mkdir(&MKDIR3args { where_: place(at), attributes: sattr(set) }).await?,
            |ok| made(ok.obj, ok.obj_attributes, ok.dir_wcc),
            |fail| changed(fail.dir_wcc),
        ),
        Call::Symlink(at, set, text) => {
            let symlink =
                symlinkdata3 { symlink_attributes: sattr(set), symlink_data: text.as_slice().into() };
            either(
                client.symlink(&SYMLINK3args { where_: place(at), symlink }).await?,
                |ok| made(ok.obj, ok.obj_attributes, ok.dir_wcc),
                |fail| changed(fail.dir_wcc),
            )
        }
        Call::Mknod(at, kind) => {
            let device = || devicedata3 { dev_attributes: sattr3::default(), spec: specdata3::default() };
            let what = match kind {
                3 => mknoddata3::NF3BLK(device()),
                4 => mknoddata3::NF3CHR(device()),
                6 => mknoddata3::NF3SOCK(sattr3::default()),
                7 => mknoddata3::NF3FIFO(sattr3::default()),
                other => panic!("nfs3_client cannot send MKNOD of type {other}"),
            };
            either(
                client.mknod(&MKNOD3args { where_: place(at), what }).await?,
                |ok| made(ok.obj, ok.obj_attributes, ok.dir_wcc),
                |fail| changed(fail.dir_wcc),
            )
        }
        Call::Remove(at) => either(
            client.remove(&REMOVE3args { object: place(at) }).await?,
            |ok| changed(ok.dir_wcc),
            |fail| changed(fail.dir_wcc),
        ),
        Call::Rmdir(at) => either(
            client.rmdir(&RMDIR3args { object: place(at) }).await?,
            |ok| changed(ok.dir_wcc),
            |fail| changed(fail.dir_wcc),
        ),
        Call::Rename(from, to) => either(
            client.rename(&RENAME3args { from: place(from), to: place(to) }).await?,
            |ok| Reply { to: wcc(ok.todir_wcc), ..changed(ok.fromdir_wcc) },
            |fail| Reply { to: wcc(fail.todir_wcc), ..changed(fail.fromdir_wcc) },
        ),
        Call::Link(file, at) => either(
            client.link(&LINK3args { file: fh(file), link: place(at) }).await?,
            |ok| Reply { wcc: wcc(ok.linkdir_wcc), ..of_object(ok.file_attributes) },
            |fail| Reply { wcc: wcc(fail.linkdir_wcc), ..of_object(fail.file_attributes) },
        ),
        Call::Readdir(List { dir, cookie, verifier, count, .. }) => {
            let (cookie, cookieverf, count) = (*cookie, cookieverf3(*verifier), *count);
            either(
                client.readdir(&READDIR3args { dir: fh(dir), cookie, cookieverf, count }).await?,
                |ok| {
                    let entries = ok.reply.entries.0.into_iter().map(entry).collect();
                    let verifier = Some(ok.cookieverf.0);
                    let reply = Reply { entries, verifier, ..of_object(ok.dir_attributes) };
                    with_numbers(reply, [u32::from(ok.reply.eof)])
                },
                |fail| of_object(fail.dir_attributes),
            )
        }
        Call::Readdirplus(List { dir, cookie, verifier, dircount, count }) => {
            let (cookie, cookieverf) = (*cookie, cookieverf3(*verifier));
            let (dircount, maxcount) = (*dircount, *count);
            let args = READDIRPLUS3args { dir: fh(dir), cookie, cookieverf, dircount, maxcount };
            either(
                client.readdirplus(&args).await?,
                |ok| {
                    let entries = ok.reply.entries.0.into_iter().map(entry_plus).collect();
                    let verifier = Some(ok.cookieverf.0);
                    let reply = Reply { entries, verifier, ..of_object(ok.dir_attributes) };
                    with_numbers(reply, [u32::from(ok.reply.eof)])
                },
                |fail| of_object(fail.dir_attributes),
            )
        }
        Call::Fsstat(object) => either(
            client.fsstat(&FSSTAT3args { fsroot: fh(object) }).await?,
            |ok| {
                let numbers = [ok.tbytes, ok.fbytes, ok.abytes, ok.tfiles, ok.ffiles, ok.afiles];
                let invariant = u64::from(ok.invarsec);
                with_numbers(of_object(ok.obj_attributes), numbers.into_iter().chain([invariant]))
            },
            |fail| of_object(fail.obj_attributes),
        ),
        Call::Fsinfo(object) => either(
            client.fsinfo(&FSINFO3args { fsroot: fh(object) }).await?,
            |ok| {
                let sizes = [ok.rtmax, ok.rtpref, ok.rtmult, ok.wtmax, ok.wtpref, ok.wtmult, ok.dtpref]
                    .map(u64::from);
                let rest = [ok.time_delta.seconds, ok.time_delta.nseconds, ok.properties].map(u64::from);
                let numbers = sizes.into_iter().chain([ok.maxfilesize]).chain(rest);
                with_numbers(of_object(ok.obj_attributes), numbers)
            },
            |fail| of_object(fail.obj_attributes),
        ),
        Call::Pathconf(object) => either(
            client.pathconf(&PATHCONF3args { object: fh(object) }).await?,
            |ok| {
                let flags = [ok.no_trunc, ok.chown_restricted, ok.case_insensitive, ok.case_preserving];
                let numbers = [ok.linkmax, ok.name_max].into_iter().chain(flags.map(u32::from));
                with_numbers(of_object(ok.obj_attributes), numbers)
            },
            |fail| of_object(fail.obj_attributes),
        ),
        Call::Commit(file, offset, count) => either(
            client.commit(&COMMIT3args { file: fh(file), offset: *offset, count: *count }).await?,
            |ok| Reply { verifier: Some(ok.verf.0), ..changed(ok.file_wcc) },
            |fail| changed(fail.file_wcc),
        ),
        Call::Mnt(_) | Call::Dump | Call::Umnt(_) | Call::Umntall | Call::Export => {
            unreachable!("no call of NFS: {call:?}")
        }
    };
    Ok(reply)
}

fn either<T, E>(
    result: Nfs3Result<T, E>,
    on_success: impl FnOnce(T) -> Reply,
    on_error: impl FnOnce(E) -> Reply,
) -> Reply {
    match result {
        Nfs3Result::Ok(ok) => on_success(ok),
        Nfs3Result::Err((code, fail)) => Reply { status: code, ..on_error(fail) },
    }
}

fn with_numbers<N: Into<u64>>(reply: Reply, numbers: impl IntoIterator<Item = N>) -> Reply {
    Reply { numbers: numbers.into_iter().map(Into::into).collect(), ..reply }
}

fn of_object(post_op: post_op_attr) -> Reply {
    Reply { attributes: attributes(post_op), ..Reply::default() }
}

fn changed(data: wcc_data) -> Reply {
    Reply { wcc: wcc(data), ..Reply::default() }
}

fn made(object: post_op_fh3, post_op: post_op_attr, dir: wcc_data) -> Reply {
    Reply { handle: option(object).map(bytes), wcc: wcc(dir), ..of_object(post_op) }
}

fn entry(entry: entry3<'_>) -> Entry {
    let name = entry.name.as_ref().to_vec();
    Entry { fileid: entry.fileid, name, cookie: entry.cookie, ..Entry::default() }
}

fn entry_plus(entry: entryplus3<'_>) -> Entry {
    Entry {
        fileid: entry.fileid,
        name: entry.name.as_ref().to_vec(),
        cookie: entry.cookie,
        attributes: attributes(entry.name_attributes),
        handle: option(entry.name_handle).map(bytes),
    }
}

fn option<T: nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(value: Nfs3Option<T>) -> Option<T> {
    match value {
        Nfs3Option::Some(value) => Some(value),
        Nfs3Option::None => None,
    }
}

fn wcc(data: wcc_data) -> Wcc {
    let before = option(data.before).map(|before| Before {
        size: before.size,
        modified: time(before.mtime),
        changed: time(before.ctime),
    });
    Wcc { before, after: attributes(data.after) }
}

fn attributes(post_op: post_op_attr) -> Option<Attributes> {
    option(post_op).map(|all| Attributes {
        kind: all.type_ as u32,
        mode: all.mode,
        links: all.nlink,
        uid: all.uid,
        gid: all.gid,
        size: all.size,
        used: all.used,
        device: [all.rdev.specdata1, all.rdev.specdata2],
        fsid: all.fsid,
        fileid: all.fileid,
        accessed: time(all.atime),
        modified: time(all.mtime),
        changed: time(all.ctime),
    })
}

fn time(time: nfstime3) -> Time {
    Time { seconds: time.seconds, nanos: time.nseconds }
}

fn point(time: Time) -> nfstime3 {
    nfstime3 { seconds: time.seconds, nseconds: time.nanos }
}

fn fh(handle: &Handle) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(handle.clone()) }
}

fn bytes(handle: nfs_fh3) -> Handle {
    handle.data.into_owned()
}

fn place(place: &Place) -> diropargs3<'_> {
    diropargs3 { dir: fh(&place.dir), name: place.name.as_slice().into() }
}

fn sattr(set: &Set) -> sattr3 {
    fn wish<T: nfs3_types::xdr_codec::Pack + nfs3_types::xdr_codec::Unpack>(
        value: Option<T>,
    ) -> Nfs3Option<T> {
        value.map_or(Nfs3Option::None, Nfs3Option::Some)
    }
    sattr3 {
        mode: wish(set.mode),
        uid: wish(set.uid),
        gid: wish(set.gid),
        size: wish(set.size),
        atime: match set.accessed {
            SetTime::Keep => set_atime::DONT_CHANGE,
            SetTime::Now => set_atime::SET_TO_SERVER_TIME,
            SetTime::To(to) => set_atime::SET_TO_CLIENT_TIME(point(to)),
        },
        mtime: match set.modified {
            SetTime::Keep => set_mtime::DONT_CHANGE,
            SetTime::Now => set_mtime::SET_TO_SERVER_TIME,
            SetTime::To(to) => set_mtime::SET_TO_CLIENT_TIME(point(to)),
        },
    }
}
