//! Rows and contents: what requests and replies have in common.

use std::borrow::Cow;

use super::XmlError;
use super::element::{Element, number};
use super::names::{Encoded, base64, bytes, name};
use super::writer::Writer;
use crate::digest::{Content, Digest, Fingerprint};
use crate::id::{ObjectId, Timestamp};
use crate::vfs::{Body, Row};

pub(super) fn id(text: &str) -> Option<ObjectId> {
    number(text).map(ObjectId)
}

pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    number(text).map(Timestamp)
}

pub(super) fn write_content(writer: &mut Writer, content: &Content) {
    let Content { fingerprint, size, digest } = content;
    writer.attribute("fingerprint", fingerprint).attribute("size", size).attribute("digest", digest);
}

pub(super) fn read_content(element: &mut Element<'_>) -> Result<Content, XmlError> {
    Ok(Content {
        fingerprint: element.required("fingerprint", Fingerprint::parse)?,
        size: element.required("size", number)?,
        digest: element.required("digest", Digest::parse)?,
    })
}

/// `<folder …/>` or `<file …/>`.
pub(super) fn write_row(writer: &mut Writer, row: &Row) {
    let Row { id, parent, name, version, created, modified, changed, metadata, body, srl } = row;
    writer.start(match body {
        Body::Folder { .. } => "folder",
        Body::File { .. } => "file",
    });
    writer
        .attribute("id", id)
        .optional("parent", *parent)
        .optional("name", name.as_ref().map(Encoded))
        .attribute("version", version)
        .attribute("created", created.0)
        .attribute("modified", modified.0)
        .attribute("changed", changed.0);
    if !metadata.is_empty() {
        writer.attribute("metadata", base64(metadata));
    }
    match body {
        Body::Folder { subfolders } => {
            writer.attribute("subfolders", subfolders);
        }
        Body::File { content } => write_content(writer, content),
    }
    writer.optional("srl", srl.as_ref()).end();
}

/// Whether [`read_row`] would take it.
pub(super) fn is_row(element: &Element<'_>) -> bool {
    element.name == "folder" || element.name == "file"
}

pub(super) fn read_row(mut element: Element<'_>) -> Result<Row, XmlError> {
    let body = match element.name {
        "folder" => Body::Folder { subfolders: element.required("subfolders", number)? },
        "file" => Body::File { content: read_content(&mut element)? },
        _ => return Err(element.unknown_in("a row's place")),
    };
    let row = Row {
        id: element.required("id", id)?,
        parent: element.optional("parent", id)?,
        name: element.optional("name", name)?,
        version: element.required("version", number)?,
        created: element.required("created", timestamp)?,
        modified: element.required("modified", timestamp)?,
        changed: element.required("changed", timestamp)?,
        metadata: element.optional("metadata", bytes)?.unwrap_or_default(),
        body,
        srl: element.optional_text("srl").map(Cow::into_owned),
    };
    element.finish()?;
    Ok(row)
}
