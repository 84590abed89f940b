//! `<requests>`: one element per operation.

use super::XmlError;
use super::element::{self, Element, boolean, number};
use super::names::{Encoded, base64, bytes, name};
use super::pairs::{read_port_lease, write_port_lease};
use super::rows::{id, read_content, timestamp, write_content};
use super::versions::{read_restore, read_versions_of, write_restore, write_versions_of};
use super::writer::Writer;
use crate::id::{FeedPosition, Token};
use crate::pair::Stamp;
use crate::vfs::{
    Document, Existing, Kind, OPERATIONS_MAX, Operation, REQUEST_BYTES_MAX, Request, Target, Upload,
};

/// Writes a request document, stamped or not. A document of more than [`OPERATIONS_MAX`] operations, of none, or of more than
/// [`REQUEST_BYTES_MAX`] bytes will be refused by [`decode_requests`].
pub fn encode_requests(requests: &[Request], stamp: Option<&Stamp>) -> Vec<u8> {
    let mut writer = Writer::new(256 * requests.len() + 128);
    writer.start("requests").optional("stamp", stamp);
    for request in requests {
        write_operation(&mut writer, request);
    }
    writer.end();
    writer.finish()
}

/// Reads a request document.
///
/// # Errors
/// [`XmlError`]: the document as a whole is refused, none of its operations may be done.
pub fn decode_requests(document: &[u8]) -> Result<Document, XmlError> {
    let document = element::Document::read(document, REQUEST_BYTES_MAX)?;
    let mut root = document.root("requests")?;
    let stamp = root.optional("stamp", Stamp::parse)?;
    let mut requests = Vec::new();
    while let Some(mut element) = root.child() {
        if requests.len() == OPERATIONS_MAX {
            return Err(XmlError::OperationCount);
        }
        let key = element.optional("key", Token::parse)?;
        let operation = read_operation(&mut element)?;
        element.finish()?;
        requests.push(Request { key, operation });
    }
    root.finish()?;
    if requests.is_empty() { Err(XmlError::OperationCount) } else { Ok(Document { stamp, requests }) }
}

fn write_operation(writer: &mut Writer, request: &Request) {
    writer.start(element_name(&request.operation)).optional("key", request.key);
    match &request.operation {
        Operation::OpenRoot | Operation::Usage => {}
        Operation::OpenFolder { folder, after, limit, srl_expires } => {
            writer.attribute("folder", folder).optional("after", *after).attribute("limit", limit);
            writer.optional("srl-expires", *srl_expires);
        }
        Operation::Open { target, srl_expires } => {
            write_target(writer, target);
            writer.optional("srl-expires", *srl_expires);
        }
        Operation::CreateFolder { parent, name, metadata } => {
            writer.attribute("parent", parent).attribute("name", Encoded(name));
            write_metadata(writer, Some(metadata).filter(|metadata| !metadata.is_empty()));
        }
        Operation::CreateFile { parent, name, metadata, upload, existing } => {
            writer.attribute("parent", parent).attribute("name", Encoded(name));
            write_metadata(writer, Some(metadata).filter(|metadata| !metadata.is_empty()));
            writer.attribute("existing", existing_text(*existing));
            write_upload(writer, upload.as_ref());
        }
        Operation::Move { target, kind: _, parent, name, replace } => {
            write_target(writer, target);
            writer.attribute("to-parent", parent).attribute("to-name", Encoded(name));
            writer.attribute("replace", replace);
        }
        Operation::Delete { target, kind: _, recursive } => {
            write_target(writer, target);
            writer.attribute("recursive", recursive);
        }
        Operation::Update { id, if_version, metadata, modified, changed, upload } => {
            writer.attribute("id", id).optional("if-version", *if_version);
            write_metadata(writer, metadata.as_ref());
            writer.optional("modified", modified.map(|time| time.0));
            writer.optional("changed", changed.map(|time| time.0));
            write_upload(writer, upload.as_ref());
        }
        Operation::Versions { of, after, limit } => write_versions_of(writer, of, *after, *limit),
        Operation::Restore { version, parent, name, replace } => {
            write_restore(writer, *version, *parent, name.as_ref(), *replace);
        }
        Operation::Changes { since, wait_ms } => {
            writer.attribute("since", since.0).attribute("wait-ms", wait_ms);
        }
        Operation::PortLease { pair, member, question } => write_port_lease(writer, pair, *member, question),
    }
    writer.end();
}

/// The founding document's words, joined by hyphens.
fn element_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::OpenRoot => "open-root",
        Operation::OpenFolder { .. } => "open-folder",
        Operation::Open { .. } => "open",
        Operation::CreateFolder { .. } => "create-folder",
        Operation::CreateFile { .. } => "create-file",
        Operation::Move { kind: None, .. } => "move",
        Operation::Move { kind: Some(Kind::Folder), .. } => "move-folder",
        Operation::Move { kind: Some(Kind::File), .. } => "move-file",
        Operation::Delete { kind: Kind::Folder, .. } => "delete-folder",
        Operation::Delete { kind: Kind::File, .. } => "delete-file",
        Operation::Update { .. } => "update",
        Operation::Usage => "usage",
        Operation::Versions { .. } => "versions",
        Operation::Restore { .. } => "restore",
        Operation::Changes { .. } => "changes",
        Operation::PortLease { .. } => "port-lease",
    }
}

fn read_operation(element: &mut Element<'_>) -> Result<Operation, XmlError> {
    Ok(match element.name {
        "open-root" => Operation::OpenRoot,
        "open-folder" => Operation::OpenFolder {
            folder: element.required("folder", id)?,
            after: element.optional("after", id)?,
            limit: element.required("limit", number)?,
            srl_expires: element.optional("srl-expires", number)?,
        },
        "open" => Operation::Open {
            target: read_target(element)?,
            srl_expires: element.optional("srl-expires", number)?,
        },
        "create-folder" => Operation::CreateFolder {
            parent: element.required("parent", id)?,
            name: element.required("name", name)?,
            metadata: element.optional("metadata", bytes)?.unwrap_or_default(),
        },
        "create-file" => Operation::CreateFile {
            parent: element.required("parent", id)?,
            name: element.required("name", name)?,
            metadata: element.optional("metadata", bytes)?.unwrap_or_default(),
            existing: element.required("existing", existing)?,
            upload: read_upload(element)?,
        },
        "move" => read_move(element, None)?,
        "move-folder" => read_move(element, Some(Kind::Folder))?,
        "move-file" => read_move(element, Some(Kind::File))?,
        "delete-folder" => read_delete(element, Kind::Folder)?,
        "delete-file" => read_delete(element, Kind::File)?,
        "update" => Operation::Update {
            id: element.required("id", id)?,
            if_version: element.optional("if-version", number)?,
            metadata: element.optional("metadata", bytes)?,
            modified: element.optional("modified", timestamp)?,
            changed: element.optional("changed", timestamp)?,
            upload: read_upload(element)?,
        },
        "usage" => Operation::Usage,
        "versions" => read_versions_of(element)?,
        "restore" => read_restore(element)?,
        "changes" => Operation::Changes {
            since: FeedPosition(element.required("since", number)?),
            wait_ms: element.required("wait-ms", number)?,
        },
        "port-lease" => read_port_lease(element)?,
        _ => return Err(element.unknown_in("requests")),
    })
}

fn read_move(element: &mut Element<'_>, kind: Option<Kind>) -> Result<Operation, XmlError> {
    Ok(Operation::Move {
        target: read_target(element)?,
        kind,
        parent: element.required("to-parent", id)?,
        name: element.required("to-name", name)?,
        replace: element.required("replace", boolean)?,
    })
}

fn read_delete(element: &mut Element<'_>, kind: Kind) -> Result<Operation, XmlError> {
    let target = read_target(element)?;
    Ok(Operation::Delete { target, kind, recursive: element.required("recursive", boolean)? })
}

/// `id`, or `parent` and `name`.
fn write_target(writer: &mut Writer, target: &Target) {
    match target {
        Target::Id(id) => writer.attribute("id", id),
        Target::Name(parent, name) => writer.attribute("parent", parent).attribute("name", Encoded(name)),
    };
}

fn read_target(element: &mut Element<'_>) -> Result<Target, XmlError> {
    match element.optional("id", id)? {
        Some(id) => Ok(Target::Id(id)),
        None => Ok(Target::Name(element.required("parent", id)?, element.required("name", name)?)),
    }
}

fn write_metadata(writer: &mut Writer, metadata: Option<&Vec<u8>>) {
    writer.optional("metadata", metadata.map(|metadata| base64(metadata)));
}

fn write_upload(writer: &mut Writer, upload: Option<&Upload>) {
    if let Some(Upload { content, token }) = upload {
        writer.start("upload");
        write_content(writer, content);
        writer.attribute("token", token).end();
    }
}

fn read_upload(element: &mut Element<'_>) -> Result<Option<Upload>, XmlError> {
    let Some(mut child) = element.child_named("upload") else { return Ok(None) };
    let upload = Upload { content: read_content(&mut child)?, token: child.required("token", Token::parse)? };
    child.finish()?;
    Ok(Some(upload))
}

fn existing_text(existing: Existing) -> &'static str {
    match existing {
        Existing::Refuse => "refuse",
        Existing::Open => "open",
        Existing::Replace => "replace",
    }
}

fn existing(text: &str) -> Option<Existing> {
    match text {
        "refuse" => Some(Existing::Refuse),
        "open" => Some(Existing::Open),
        "replace" => Some(Existing::Replace),
        _ => None,
    }
}
