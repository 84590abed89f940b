//! The commands that undo: versions, restore.

use std::collections::{BTreeMap, BTreeSet};

use client::{Center, ClientError};
use protocol::id::{ObjectId, VersionId};
use protocol::name::Name;
use protocol::vfs::{
    Answer, Body, Kind, Operation, Row, Target, VERSIONS_MAX, Version, Versioned, VfsErrorCode, Why,
};

use crate::Outcome;
use crate::arguments::Which;
use crate::files::print;
use crate::meter::Meter;
use crate::remote::{self, RemotePath};
use crate::show;

pub(crate) async fn versions(center: &Center, path: &RemotePath, json: bool) -> Outcome {
    let of = versioned(center, path).await?;
    let found = list(center, of).await.map_err(|error| path.told(error))?;
    match json {
        true => {
            let all: Vec<serde_json::Value> = found.iter().map(json_of).collect();
            print(std::iter::once(serde_json::Value::from(all).to_string()))
        }
        false => print(found.iter().map(line)),
    }
}

pub(crate) async fn restore(center: &Center, path: &RemotePath, which: Which) -> Outcome {
    if which.recursive && which.version.is_none() && which.to.is_none() {
        match remote::resolve(center, &path.names()?).await {
            // An earlier restore did not come to its end, or single files of it were deleted.
            Ok(row) if row.kind() == Kind::Folder => return restore_below(center, path, row.id).await,
            Err(error) if !error.is_not_found() => return Err(path.told(error)),
            _ => {}
        }
    }
    let (above, name) = path.parent_and_name()?;
    let (folder, is_there) = folder(center, path, &above).await?;
    let of = Versioned::Name(folder, name.clone());
    let mut kept = list(center, of).await.map_err(|error| path.told(error))?;
    let version = match which.version {
        Some(number) => {
            kept.into_iter().find(|version| version.id == VersionId(number)).ok_or_else(|| {
                path.told(format!("has no version {number}: `center versions` lists what is kept"))
            })?
        }
        None => kept.pop().ok_or_else(|| path.told("no version of it is kept"))?,
    };
    if !is_there {
        return Err(path.told("its folder is gone: restore that first"));
    }
    if which.recursive && version.row.kind() == Kind::File {
        return Err(path.told("is a file: leave out -r"));
    }
    let operation = Operation::Restore {
        version: version.id,
        parent: None,
        name: Some(which.to.unwrap_or(name)),
        replace: which.force,
    };
    let restored = remote::row(center, operation).await.map_err(|error| match error.vfs_code() {
        Some(VfsErrorCode::Exists) if version.row.kind() == Kind::File && !which.force => {
            path.told(format!("{error}: give another with --to, or --force to replace what has it"))
        }
        _ => path.told(error),
    })?;
    if which.recursive {
        return restore_below(center, path, restored.id).await;
    }
    Ok(())
}

/// Restores what was deleted in the folder at `path` and in those below it. One that was restored has the id it had.
async fn restore_below(center: &Center, path: &RemotePath, folder: ObjectId) -> Outcome {
    let meter = Meter::of_things("restored");
    let done = restore_deleted(center, folder, &meter).await;
    meter.finish();
    let passed_over = done.map_err(|error| path.told(format!("{error}: the same command again goes on")))?;
    if passed_over > 0 {
        let told = path.told(format!(
            "passed over {passed_over} whose names are in use again: `center versions` lists what is kept of them"
        ));
        eprintln!("center: {told}");
    }
    Ok(())
}

/// How many names were passed over, for something has them.
async fn restore_deleted(center: &Center, folder: ObjectId, meter: &Meter) -> Result<u64, ClientError> {
    let mut passed_over = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let entries = remote::entries(center, folder).await?;
        folders.extend(entries.iter().filter(|row| row.kind() == Kind::Folder).map(|row| row.id));
        let in_use: BTreeSet<Option<Name>> = entries.into_iter().map(|row| row.name).collect();
        let kept = list(center, Versioned::Folder(folder)).await?.into_iter();
        let deleted = kept.filter(|version| version.why == Why::Deleted);
        // Of each name the last one, which is the newest.
        let newest: BTreeMap<Option<Name>, VersionId> =
            deleted.map(|version| (version.row.name, version.id)).collect();
        for (name, version) in newest {
            if in_use.contains(&name) {
                passed_over += 1;
                continue;
            }
            let operation = Operation::Restore { version, parent: None, name: None, replace: false };
            match remote::row(center, operation).await {
                Ok(row) => {
                    meter.add(1);
                    folders.extend((row.kind() == Kind::Folder).then_some(row.id));
                }
                // Somebody made one meanwhile.
                Err(error) if error.vfs_code() == Some(VfsErrorCode::Exists) => passed_over += 1,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(passed_over)
}

/// Of what a path wants the versions: of a folder's entries, or of a name.
async fn versioned(center: &Center, path: &RemotePath) -> Result<Versioned, String> {
    let names = path.names()?;
    let Some((name, above)) = names.split_last() else {
        return Ok(Versioned::Folder(remote::open(center, path).await?.id));
    };
    let (folder, is_there) = folder(center, path, above).await?;
    let row =
        if is_there { entry(center, folder, name).await.map_err(|error| path.told(error))? } else { None };
    Ok(match row {
        Some(row) if row.kind() == Kind::Folder => Versioned::Folder(row.id),
        _ if path.means_folder() => Versioned::Folder(self::folder(center, path, &names).await?.0),
        _ => Versioned::Name(folder, name.clone()),
    })
}

/// The folder at the end of the names, and whether it is there: behind one that is gone, folders are found by their
/// versions.
async fn folder(center: &Center, path: &RemotePath, names: &[Name]) -> Result<(ObjectId, bool), String> {
    let told = |error: ClientError| path.told(error);
    let root = remote::resolve(center, &[]).await.map_err(told)?;
    let (mut folder, mut is_there) = (root.id, true);
    for name in names {
        let row = if is_there { entry(center, folder, name).await.map_err(told)? } else { None };
        if let Some(row) = row.filter(|row| row.kind() == Kind::Folder) {
            folder = row.id;
            continue;
        }
        is_there = false;
        let of = Versioned::Name(folder, name.clone());
        let kept = list(center, of).await.map_err(told)?;
        let newest = kept.into_iter().rfind(|version| version.row.kind() == Kind::Folder);
        folder = newest.ok_or_else(|| path.told("there is no such folder, and no version of one"))?.row.id;
    }
    Ok((folder, is_there))
}

/// What has this name in a folder, if anything has.
async fn entry(center: &Center, folder: ObjectId, name: &Name) -> Result<Option<Row>, ClientError> {
    let target = Target::Name(folder, name.clone());
    match remote::row(center, Operation::Open { target, srl_expires: None }).await {
        Ok(row) => Ok(Some(row)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// All versions, in order of their numbers.
async fn list(center: &Center, of: Versioned) -> Result<Vec<Version>, ClientError> {
    let mut all: Vec<Version> = Vec::new();
    loop {
        let after = all.last().map(|version| version.id);
        let operation = Operation::Versions { of: of.clone(), after, limit: VERSIONS_MAX };
        match remote::ask(center, operation).await? {
            Answer::Versions { versions, more } => {
                let going_on = more && !versions.is_empty();
                all.extend(versions);
                if !going_on {
                    return Ok(all);
                }
            }
            answer => return Err(remote::unexpected(&answer)),
        }
    }
}

fn line(version: &Version) -> String {
    let Version { id, why, at, row } = version;
    format!("{id:>8} {} {:<11} {}", show::time(*at), why.as_str(), show::line(row))
}

fn json_of(version: &Version) -> serde_json::Value {
    let Version { id, why, at, row } = version;
    let mut object = serde_json::json!({
        "version": id.0,
        "why": why.as_str(),
        "at": show::time(*at),
        "id": row.id.0,
        "name": show::name(row),
        "kind": if row.kind() == Kind::Folder { "folder" } else { "file" },
        "modified": show::time(row.modified),
    });
    if let Body::File { content } = &row.body {
        object["size"] = content.size.into();
        object["md5"] = content.fingerprint.to_string().into();
    }
    object
}
