//! Answers of the HTTP interface that are not about the VFS: what was stored, and why a request failed as a whole.

use super::XmlError;
use super::element::Document;
use super::pairs::generation;
use super::rows::{id, read_content, write_content};
use super::writer::Writer;
use crate::digest::Content;
use crate::id::{ObjectId, Token};
use crate::pair::Generation;

/// Most bytes of these documents.
const BYTES_MAX: usize = 16 << 10;

/// The answer to STORE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What was stored.
    pub content: Content,
    /// The reference that holds it.
    pub token: Token,
    /// The file made of it, where the SRL named a folder.
    pub file: Option<ObjectId>,
}

/// The body of an HTTP error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDocument {
    /// What a program decides by, beside the status: `malformed`, `not-authentic`, `expired`, `not-allowed`,
    /// `not-found`, `digest-mismatch`, `collision`, `no-space`, `quota`, `superseded`, `unavailable`.
    pub code: String,
    /// The generation in force, with `superseded`.
    pub generation: Option<Generation>,
    /// What a person reads.
    pub message: String,
}

/// `<stored fingerprint= size= digest= token= file=/>`
pub fn encode_stored(stored: &Stored) -> Vec<u8> {
    let mut writer = Writer::new(256);
    writer.start("stored");
    write_content(&mut writer, &stored.content);
    writer.attribute("token", stored.token).optional("file", stored.file).end();
    writer.finish()
}

/// Reads what [`encode_stored`] wrote.
pub fn decode_stored(document: &[u8]) -> Result<Stored, XmlError> {
    let document = Document::read(document, BYTES_MAX)?;
    let mut element = document.root("stored")?;
    let content = read_content(&mut element)?;
    let token = element.required("token", Token::parse)?;
    let stored = Stored { content, token, file: element.optional("file", id)? };
    element.finish()?;
    Ok(stored)
}

/// `<error code="…" generation="…">message</error>`
pub fn encode_error(code: &str, generation: Option<Generation>, message: &str) -> Vec<u8> {
    let mut writer = Writer::new(256);
    writer.start("error").attribute("code", code).optional("generation", generation).text(message).end();
    writer.finish()
}

/// Reads what [`encode_error`] wrote.
pub fn decode_error(document: &[u8]) -> Result<ErrorDocument, XmlError> {
    let document = Document::read(document, BYTES_MAX)?;
    let mut element = document.root("error")?;
    let code = element.optional_text("code").ok_or_else(|| element.missing("code"))?.into_owned();
    let generation = element.optional("generation", generation)?;
    let error = ErrorDocument { code, generation, message: element.take_text() };
    element.finish()?;
    Ok(error)
}
