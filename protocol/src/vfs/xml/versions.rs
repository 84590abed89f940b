//! VERSIONS and RESTORE: what is asked of deleted and overwritten files, and the list of them.

use super::XmlError;
use super::element::{Element, boolean, number};
use super::names::{Encoded, name};
use super::rows::{id, read_row, timestamp, write_row};
use super::writer::Writer;
use crate::id::{ObjectId, VersionId};
use crate::name::Name;
use crate::vfs::{Answer, Operation, Version, Versioned, Why};

fn version_id(text: &str) -> Option<VersionId> {
    number(text).map(VersionId)
}

/// `id`; or `parent`, with `name` or without.
pub(super) fn write_versions_of(writer: &mut Writer, of: &Versioned, after: Option<VersionId>, limit: u32) {
    match of {
        Versioned::Id(id) => writer.attribute("id", id),
        Versioned::Folder(folder) => writer.attribute("parent", folder),
        Versioned::Name(folder, name) => writer.attribute("parent", folder).attribute("name", Encoded(name)),
    };
    writer.optional("after", after).attribute("limit", limit);
}

pub(super) fn read_versions_of(element: &mut Element<'_>) -> Result<Operation, XmlError> {
    let of = match element.optional("id", id)? {
        Some(id) => Versioned::Id(id),
        None => {
            let folder = element.required("parent", id)?;
            match element.optional("name", name)? {
                Some(name) => Versioned::Name(folder, name),
                None => Versioned::Folder(folder),
            }
        }
    };
    let after = element.optional("after", version_id)?;
    Ok(Operation::Versions { of, after, limit: element.required("limit", number)? })
}

pub(super) fn write_restore(
    writer: &mut Writer,
    version: VersionId,
    parent: Option<ObjectId>,
    name: Option<&Name>,
    replace: bool,
) {
    writer.attribute("version", version).optional("to-parent", parent);
    writer.optional("to-name", name.map(Encoded)).attribute("replace", replace);
}

pub(super) fn read_restore(element: &mut Element<'_>) -> Result<Operation, XmlError> {
    Ok(Operation::Restore {
        version: element.required("version", version_id)?,
        parent: element.optional("to-parent", id)?,
        name: element.optional("to-name", name)?,
        replace: element.required("replace", boolean)?,
    })
}

pub(super) fn write_versions(writer: &mut Writer, versions: &[Version], more: bool) {
    writer.attribute("more", more);
    for Version { id, why, at, row } in versions {
        writer.start("version").attribute("number", id).attribute("why", why.as_str()).attribute("at", at.0);
        write_row(writer, row);
        writer.end();
    }
}

pub(super) fn read_versions(element: &mut Element<'_>) -> Result<Answer, XmlError> {
    let more = element.required("more", boolean)?;
    let mut versions = Vec::new();
    while let Some(mut child) = element.child_named("version") {
        versions.push(Version {
            id: child.required("number", version_id)?,
            why: child.required("why", Why::parse)?,
            at: child.required("at", timestamp)?,
            row: read_row(child.child().ok_or_else(|| child.missing("folder or file"))?)?,
        });
        child.finish()?;
    }
    Ok(Answer::Versions { versions, more })
}
