//! `<replies>`: one element per request, in order.

use super::element::{Document, Element, boolean, number};
use super::pairs::{generation, read_lease, write_lease};
use super::rows::{id, is_row, read_row, timestamp, write_row};
use super::versions::{read_versions, write_versions};
use super::writer::Writer;
use super::{REPLIES_BYTES_MAX, XmlError};
use crate::id::FeedPosition;
use crate::vfs::{
    Answer, Answered, Before, Change, Changed, ENTRIES_MAX, FolderChange, Reply, Row, Usage, VfsError,
    VfsErrorCode,
};

/// Writes a reply document. One of more than [`REPLIES_BYTES_MAX`] bytes will be refused by [`decode_replies`].
pub fn encode_replies(replies: &[Reply]) -> Vec<u8> {
    let rows = replies.iter().map(|reply| match reply {
        Ok(Answered { answer: Answer::Versions { versions, .. }, .. }) => versions.len(),
        Ok(Answered { answer: Answer::Folder { entries, .. }, .. }) => {
            entries.len().min(ENTRIES_MAX as usize) + 1
        }
        _ => 2,
    });
    let mut writer = Writer::new(512 * rows.sum::<usize>() + 128);
    writer.start("replies");
    for reply in replies {
        match reply {
            Ok(answered) => write_answer(&mut writer, answered),
            Err(VfsError { code, message }) => {
                writer.start("error").attribute("code", code.as_str());
                writer.optional("generation", code.generation()).text(message).end();
            }
        }
    }
    writer.end();
    writer.finish()
}

/// Reads a reply document.
///
/// # Errors
/// [`XmlError`]: whoever answered is no VFS of this version.
pub fn decode_replies(document: &[u8]) -> Result<Vec<Reply>, XmlError> {
    let document = Document::read(document, REPLIES_BYTES_MAX)?;
    let mut root = document.root("replies")?;
    let mut replies = Vec::new();
    while let Some(mut element) = root.child() {
        let reply = if element.name == "error" {
            let generation = element.optional("generation", generation)?;
            let code = element.required("code", |word| VfsErrorCode::parse(word, generation))?;
            Err(VfsError { code, message: element.take_text() })
        } else {
            let position = position(&mut element, "position")?;
            Ok(Answered { position, answer: read_answer(&mut element)? })
        };
        element.finish()?;
        replies.push(reply);
    }
    root.finish()?;
    Ok(replies)
}

fn write_answer(writer: &mut Writer, answered: &Answered) {
    let name = match &answered.answer {
        Answer::Row(_) => "row",
        Answer::Folder { .. } => "listing",
        Answer::Versions { .. } => "versions",
        Answer::Changed(_) => "changed",
        Answer::Usage(_) => "usage",
        Answer::Changes { .. } => "changes",
        Answer::Lease(_) => "lease",
    };
    writer.start(name).attribute("position", answered.position.0);
    match &answered.answer {
        Answer::Row(row) => write_row(writer, row),
        Answer::Folder { folder, entries, more } => {
            writer.attribute("more", more);
            write_row(writer, folder);
            entries.iter().for_each(|entry| write_row(writer, entry));
        }
        Answer::Versions { versions, more } => write_versions(writer, versions, *more),
        Answer::Changed(changed) => write_changed(writer, changed),
        Answer::Usage(usage) => write_usage(writer, usage),
        Answer::Changes { changes, position, reset } => {
            writer.attribute("next", position.0).attribute("reset", reset);
            for Change { position, id, version } in changes {
                writer.start("change").attribute("position", position.0).attribute("id", id);
                writer.optional("version", *version).end();
            }
        }
        Answer::Lease(lease) => write_lease(writer, lease),
    }
    writer.end();
}

fn read_answer(element: &mut Element<'_>) -> Result<Answer, XmlError> {
    Ok(match element.name {
        "row" => Answer::Row(required_row(element)?),
        "listing" => {
            let more = element.required("more", boolean)?;
            let folder = required_row(element)?;
            let mut entries = Vec::new();
            while let Some(child) = element.child() {
                entries.push(read_row(child)?);
            }
            Answer::Folder { folder, entries, more }
        }
        "versions" => read_versions(element)?,
        "changed" => Answer::Changed(read_changed(element)?),
        "usage" => Answer::Usage(Usage {
            bytes_used: element.required("bytes-used", number)?,
            files_used: element.required("files-used", number)?,
            bytes_quota: element.optional("bytes-quota", number)?,
            files_quota: element.optional("files-quota", number)?,
            bytes_free: element.required("bytes-free", number)?,
        }),
        "changes" => {
            let next = position(element, "next")?;
            let reset = element.required("reset", boolean)?;
            let mut changes = Vec::new();
            while let Some(mut child) = element.child_named("change") {
                changes.push(Change {
                    position: position(&mut child, "position")?,
                    id: child.required("id", id)?,
                    version: child.optional("version", number)?,
                });
                child.finish()?;
            }
            Answer::Changes { changes, position: next, reset }
        }
        "lease" => Answer::Lease(read_lease(element)?),
        _ => return Err(element.unknown_in("replies")),
    })
}

fn write_usage(writer: &mut Writer, usage: &Usage) {
    let Usage { bytes_used, files_used, bytes_quota, files_quota, bytes_free } = usage;
    writer.attribute("bytes-used", bytes_used).attribute("files-used", files_used);
    writer.optional("bytes-quota", *bytes_quota).optional("files-quota", *files_quota);
    writer.attribute("bytes-free", bytes_free);
}

/// The row, then its state before, then the folders around it.
fn write_changed(writer: &mut Writer, changed: &Changed) {
    let Changed { row, before, created, removed, folders } = changed;
    writer.attribute("created", created).optional("removed", *removed);
    if let Some(row) = row {
        write_row(writer, row);
    }
    if let Some(before) = before {
        write_before(writer, before);
    }
    for FolderChange { before, after } in folders {
        writer.start("around");
        write_before(writer, before);
        write_row(writer, after);
        writer.end();
    }
}

fn read_changed(element: &mut Element<'_>) -> Result<Changed, XmlError> {
    let created = element.required("created", boolean)?;
    let removed = element.optional("removed", id)?;
    let row = element.child_if(is_row).map(read_row).transpose()?;
    let before = element.child_named("before").map(read_before).transpose()?;
    let mut folders = Vec::new();
    while let Some(mut around) = element.child_named("around") {
        let before = around.child_named("before").ok_or_else(|| around.missing("before"))?;
        folders.push(FolderChange { before: read_before(before)?, after: required_row(&mut around)? });
        around.finish()?;
    }
    Ok(Changed { row, before, created, removed, folders })
}

fn write_before(writer: &mut Writer, before: &Before) {
    let Before { version, size, modified, changed } = before;
    writer.start("before").attribute("version", version).attribute("size", size);
    writer.attribute("modified", modified.0).attribute("changed", changed.0).end();
}

fn read_before(mut element: Element<'_>) -> Result<Before, XmlError> {
    let before = Before {
        version: element.required("version", number)?,
        size: element.required("size", number)?,
        modified: element.required("modified", timestamp)?,
        changed: element.required("changed", timestamp)?,
    };
    element.finish()?;
    Ok(before)
}

fn required_row(element: &mut Element<'_>) -> Result<Row, XmlError> {
    let row = element.child().ok_or_else(|| element.missing("folder or file"))?;
    read_row(row)
}

fn position(element: &mut Element<'_>, attribute: &'static str) -> Result<FeedPosition, XmlError> {
    element.required(attribute, number).map(FeedPosition)
}
