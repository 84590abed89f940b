//! A repeated call: the same bytes with the same transaction id over a new connection get the first answer and have
//! no second effect (FO-12), also from a port that was killed in between.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use e2e::mount::{at, mode};
use e2e::rpc::{Connection, Credential};
use e2e::site::{Port, Site};
use nfs3_types::nfs3::*;
use nfs3_types::xdr_codec::{Pack, Unpack};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends one call over a connection of its own.
fn send<T: Pack + Unpack, E: Pack + Unpack>(
    port: &Port,
    xid: u32,
    procedure: NFS_PROGRAM,
    args: &impl Pack,
) -> Result<T, nfsstat3> {
    let mut connection = Connection::open(port.nfs(), &Credential::root(), TIMEOUT).unwrap();
    match connection.call::<Nfs3Result<T, E>>(xid, procedure, args).unwrap() {
        Nfs3Result::Ok(value) => Ok(value),
        Nfs3Result::Err((status, _)) => Err(status),
    }
}

/// Three ways to lose a connection between the two sendings.
fn twice<R: PartialEq + std::fmt::Debug>(port: &mut Port, what: &str, call: impl Fn(&Port) -> R) -> R {
    let first = call(port);
    assert_eq!(call(port), first, "{what} repeated over a new connection");
    port.daemon.kill_9();
    port.daemon.restart();
    assert_eq!(call(port), first, "{what} repeated after kill -9");
    first
}

fn handle(made: Result<post_op_fh3, nfsstat3>) -> Result<nfs_fh3, nfsstat3> {
    made.map(|handle| match handle {
        Nfs3Option::Some(handle) => handle,
        Nfs3Option::None => panic!("no handle"),
    })
}

/// FO-12, VFS-13, VFS-14, VFS-15.
#[test]
fn repeated_calls_get_their_first_answer() {
    let site = Site::start();
    let mut port = site.port("port");
    let root = port.mount("/export").root();

    let mkdir = MKDIR3args { where_: at(&root, b"dir"), attributes: mode(0o755) };
    let dir = twice(&mut port, "MKDIR", |port| {
        handle(
            send::<MKDIR3resok, MKDIR3resfail>(port, 101, NFS_PROGRAM::NFSPROC3_MKDIR, &mkdir)
                .map(|ok| ok.obj),
        )
    })
    .unwrap();
    let again = send::<MKDIR3resok, MKDIR3resfail>(&port, 102, NFS_PROGRAM::NFSPROC3_MKDIR, &mkdir).map(drop);
    assert_eq!(again, Err(nfsstat3::NFS3ERR_EXIST), "another call is another call");

    let exclusive =
        CREATE3args { where_: at(&dir, b"file"), how: createhow3::EXCLUSIVE(createverf3(*b"verifier")) };
    let file = twice(&mut port, "exclusive CREATE", |port| {
        handle(
            send::<CREATE3resok, CREATE3resfail>(port, 103, NFS_PROGRAM::NFSPROC3_CREATE, &exclusive)
                .map(|ok| ok.obj),
        )
    })
    .unwrap();
    let same_verifier =
        send::<CREATE3resok, CREATE3resfail>(&port, 104, NFS_PROGRAM::NFSPROC3_CREATE, &exclusive)
            .map(|ok| ok.obj);
    assert_eq!(
        handle(same_verifier),
        Ok(file.clone()),
        "RFC 1813 §3.3.8: the verifier makes it the same create"
    );
    let other =
        CREATE3args { where_: at(&dir, b"file"), how: createhow3::EXCLUSIVE(createverf3(*b"another.")) };
    let other =
        send::<CREATE3resok, CREATE3resfail>(&port, 105, NFS_PROGRAM::NFSPROC3_CREATE, &other).map(drop);
    assert_eq!(other, Err(nfsstat3::NFS3ERR_EXIST));

    let rename = RENAME3args { from: at(&dir, b"file"), to: at(&root, b"moved") };
    let renamed = twice(&mut port, "RENAME", |port| {
        send::<RENAME3resok, RENAME3resfail>(port, 106, NFS_PROGRAM::NFSPROC3_RENAME, &rename).map(drop)
    });
    assert_eq!(renamed, Ok(()));
    let again =
        send::<RENAME3resok, RENAME3resfail>(&port, 107, NFS_PROGRAM::NFSPROC3_RENAME, &rename).map(drop);
    assert_eq!(again, Err(nfsstat3::NFS3ERR_NOENT));

    let remove = REMOVE3args { object: at(&root, b"moved") };
    let removed = twice(&mut port, "REMOVE", |port| {
        send::<REMOVE3resok, REMOVE3resfail>(port, 108, NFS_PROGRAM::NFSPROC3_REMOVE, &remove).map(drop)
    });
    assert_eq!(removed, Ok(()));
    let again =
        send::<REMOVE3resok, REMOVE3resfail>(&port, 109, NFS_PROGRAM::NFSPROC3_REMOVE, &remove).map(drop);
    assert_eq!(again, Err(nfsstat3::NFS3ERR_NOENT));

    let rmdir = RMDIR3args { object: at(&root, b"dir") };
    let removed = twice(&mut port, "RMDIR", |port| {
        send::<RMDIR3resok, RMDIR3resfail>(port, 110, NFS_PROGRAM::NFSPROC3_RMDIR, &rmdir).map(drop)
    });
    assert_eq!(removed, Ok(()));
}

/// FO-12: a repetition reaches the other port of the customer and still gets the first answer.
#[test]
fn a_call_repeated_to_another_port_gets_its_first_answer() {
    let site = Site::start();
    let (one, two) = (site.port("one"), site.port("two"));
    // Both ports know handles of the same pair key, as a pair shares it.
    let root = one.mount("/export").root();
    let mkdir = MKDIR3args { where_: at(&root, b"dir"), attributes: mode(0o755) };
    let call = |port: &Port| {
        handle(
            send::<MKDIR3resok, MKDIR3resfail>(port, 7, NFS_PROGRAM::NFSPROC3_MKDIR, &mkdir).map(|ok| ok.obj),
        )
    };
    let first = call(&one).unwrap();
    assert_eq!(call(&two), Ok(first));
}
