//! What holds of every reply, whatever the case is about (RFC 1813 §2.6, §3.3): attributes come with errors too, those
//! before and after a change agree with GETATTR around it, an error changes nothing, and a listing is no longer than
//! the client takes.

use nfs3_types::nfs3::nfsstat3;

use super::call::{Attributes, Before, Call, Entry, Handle, List, Reply, Wcc, brief};

/// `post_op_attr` with attributes, as it lies in a reply.
const POST_OP_BYTES: usize = 4 + 84;

/// The objects whose attributes around the call the reply tells, each with what it tells.
pub fn changed<'a>(call: &'a Call, reply: &'a Reply) -> Vec<(&'a Handle, &'a Wcc)> {
    match call {
        Call::Setattr(object, ..) | Call::Write(object, ..) | Call::Commit(object, ..) => {
            vec![(object, &reply.wcc)]
        }
        Call::Create(at, _)
        | Call::Mkdir(at, _)
        | Call::Symlink(at, ..)
        | Call::Mknod(at, _)
        | Call::Remove(at)
        | Call::Rmdir(at)
        | Call::Link(_, at) => vec![(&at.dir, &reply.wcc)],
        Call::Rename(from, to) => vec![(&from.dir, &reply.wcc), (&to.dir, &reply.to)],
        _ => Vec::new(),
    }
}

/// Checks what came with a reply; `Err` says what is wrong with it.
///
/// # Errors
/// Something that should have come did not, or something came that should not have.
pub fn check_shape(call: &Call, reply: &Reply) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {}\n answered by {}", brief(call), brief(reply)));
    // A handle that names nothing: there is nothing to tell the attributes of.
    if matches!(reply.status, nfsstat3::NFS3ERR_STALE | nfsstat3::NFS3ERR_BADHANDLE) {
        return Ok(());
    }
    for (_, wcc) in changed(call, reply) {
        if wcc.before.is_none() || wcc.after.is_none() {
            return wrong("attributes around the change are left out");
        }
    }
    let shows_object = match call {
        Call::Getattr(_) | Call::Create(..) | Call::Mkdir(..) | Call::Symlink(..) | Call::Lookup(_) => {
            reply.is_ok()
        }
        Call::Access(..)
        | Call::Readlink(_)
        | Call::Read(..)
        | Call::Link(..)
        | Call::Readdir(_)
        | Call::Readdirplus(_)
        | Call::Fsstat(_)
        | Call::Fsinfo(_)
        | Call::Pathconf(_) => true,
        _ => false,
    };
    if shows_object != reply.attributes.is_some() {
        return wrong("attributes of the object are left out, or there for no reason");
    }
    if matches!(call, Call::Lookup(_)) && reply.dir.is_none() {
        return wrong("attributes of the folder are left out");
    }
    let gives_handle = matches!(
        call,
        Call::Create(..) | Call::Mkdir(..) | Call::Symlink(..) | Call::Lookup(_) | Call::Mnt(_)
    );
    if (gives_handle && reply.is_ok()) != reply.handle.is_some() {
        return wrong("the handle is left out, or there for no reason");
    }
    match call {
        _ if !reply.is_ok() => {}
        Call::Read(_, _, count)
            if reply.numbers[0] != reply.data.len() as u64 || reply.numbers[0] > u64::from(*count) =>
        {
            return wrong("the count of bytes read is not theirs");
        }
        Call::Access(_, wanted) if reply.numbers[0] & !u64::from(*wanted) != 0 => {
            return wrong("rights were granted that nobody asked for");
        }
        Call::Readdir(list) if readdir_bytes(&reply.entries) > list.count as usize => {
            return wrong("the listing is longer than the client takes");
        }
        Call::Readdirplus(list) => return check_plus(list, reply).or_else(wrong_owned(call, reply)),
        _ => {}
    }
    Ok(())
}

fn wrong_owned<'a>(call: &'a Call, reply: &'a Reply) -> impl FnOnce(&'static str) -> Result<(), String> + 'a {
    move |what| Err(format!("{what}: {}\n answered by {}", brief(call), brief(reply)))
}

/// READDIRPLUS: handles and attributes of every entry, within `maxcount`, names within `dircount` but for one.
fn check_plus(list: &List, reply: &Reply) -> Result<(), &'static str> {
    let incomplete = |entry: &Entry| {
        entry.handle.is_none() || entry.attributes.is_none_or(|attributes| attributes.fileid != entry.fileid)
    };
    if reply.entries.iter().any(incomplete) {
        return Err("an entry lacks its handle or attributes, or they are another's");
    }
    let objects: usize = reply.entries.iter().map(object_bytes).sum();
    if readdir_bytes(&reply.entries) + objects > list.count as usize {
        return Err("the listing is longer than maxcount");
    }
    let names: usize = reply.entries.iter().map(name_bytes).sum();
    if reply.entries.len() > 1 && names > list.dircount as usize {
        return Err("the names are longer than dircount");
    }
    Ok(())
}

/// Bytes of an entry without handle and attributes.
fn name_bytes(entry: &Entry) -> usize {
    4 + 8 + 4 + entry.name.len().next_multiple_of(4) + 8
}

fn object_bytes(entry: &Entry) -> usize {
    POST_OP_BYTES + 4 + 4 + entry.handle.as_ref().map_or(0, |handle| handle.len().next_multiple_of(4))
}

/// Bytes of the results of a READDIR with these entries: folder's attributes, verifier, end of list, end of folder.
fn readdir_bytes(entries: &[Entry]) -> usize {
    POST_OP_BYTES + 8 + 4 + 4 + entries.iter().map(name_bytes).sum::<usize>()
}

/// Checks what a reply tells of an object against GETATTR before and after the call, when nobody else changes it.
///
/// # Errors
/// They differ, or an error changed something.
pub fn check_wcc(
    reply: &Reply,
    wcc: &Wcc,
    before: Option<&Attributes>,
    after: Option<&Attributes>,
) -> Result<(), String> {
    let told =
        |what: &str| Err(format!("{what}\n told {wcc:?}\n GETATTR before {before:?}\n after {after:?}"));
    if let (Some(told_before), Some(before)) = (wcc.before, before)
        && told_before != Before::from(before)
    {
        return told("the attributes before are not those of GETATTR");
    }
    if let (Some(told_after), Some(after)) = (wcc.after, after)
        && told_after != *after
    {
        return told("the attributes after are not those of GETATTR");
    }
    if !reply.is_ok() && before != after {
        return told("an error changed the object");
    }
    if let (Some(before), Some(after)) = (before, after)
        && after.changed < before.changed
    {
        return told("the change time went back");
    }
    Ok(())
}
