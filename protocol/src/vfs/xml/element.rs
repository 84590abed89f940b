//! Reads a document into a tree of elements, and takes the tree apart without leaving anything over. Names and values
//! stay where they stand in the document, unless something is escaped in them.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::XmlError;

/// No document of ours is deeper.
const DEPTH_MAX: usize = 5;
/// No element of ours has more. Also keeps the search for repeated attributes short.
const ATTRIBUTES_MAX: usize = 16;

/// What a document consists of, in order.
pub(super) struct Document<'a>(Vec<Event<'a>>);

/// An element of which attributes and children are taken one by one; [`Element::finish`] complains of the rest.
#[derive(Debug)]
pub(super) struct Element<'a> {
    pub(super) name: &'a str,
    attributes: Vec<Attribute<'a>>,
    children: std::vec::IntoIter<Element<'a>>,
    text: String,
}

/// Name and value.
type Attribute<'a> = (&'a str, Cow<'a, str>);

impl<'a> Document<'a> {
    /// Takes the document to pieces.
    pub(super) fn read(bytes: &'a [u8], bytes_max: usize) -> Result<Self, XmlError> {
        if bytes.len() > bytes_max {
            return Err(XmlError::TooLong { bytes_max });
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed("the document is not UTF-8"))?;
        check_characters(text)?;
        let mut reader = Reader::from_str(text);
        let mut events = Vec::new();
        loop {
            match reader.read_event().map_err(malformed)? {
                Event::Eof => return Ok(Self(events)),
                event => events.push(event),
            }
        }
    }

    /// The root element, which must be the given one.
    pub(super) fn root(&self, root: &'static str) -> Result<Element<'_>, XmlError> {
        let mut outside = children(&mut self.0.iter(), 0)?;
        let element = outside.elements.pop().ok_or_else(|| malformed("the document is empty"))?;
        if !outside.elements.is_empty() || !outside.text.is_empty() {
            return Err(malformed("the document has more than one root"));
        }
        if element.name != root {
            return Err(unknown_element(element.name, "the document"));
        }
        Ok(element)
    }
}

impl<'a> Element<'a> {
    /// An attribute's value as it stands, or `None` if it is not there.
    pub(super) fn optional_text(&mut self, attribute: &'static str) -> Option<Cow<'a, str>> {
        let index = self.attributes.iter().position(|(name, _)| *name == attribute)?;
        Some(self.attributes.swap_remove(index).1)
    }

    /// An attribute's value, read by `read`.
    pub(super) fn optional<T>(
        &mut self,
        attribute: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, XmlError> {
        let Some(text) = self.optional_text(attribute) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| self.bad_value(attribute))
    }

    /// An attribute's value, which must be there.
    pub(super) fn required<T>(
        &mut self,
        attribute: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, XmlError> {
        self.optional(attribute, read)?.ok_or_else(|| self.missing(attribute))
    }

    /// The next child.
    pub(super) fn child(&mut self) -> Option<Self> {
        self.children.next()
    }

    /// The next child, if it is a wanted one.
    pub(super) fn child_if(&mut self, wanted: impl FnOnce(&Self) -> bool) -> Option<Self> {
        if wanted(self.children.as_slice().first()?) { self.children.next() } else { None }
    }

    /// The next child, if it is of that name.
    pub(super) fn child_named(&mut self, name: &str) -> Option<Self> {
        self.child_if(|child| child.name == name)
    }

    /// The text in it.
    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Complains of whatever was not taken.
    pub(super) fn finish(mut self) -> Result<(), XmlError> {
        if let Some((attribute, _)) = self.attributes.first() {
            let attribute = shown(attribute);
            return Err(XmlError::UnknownAttribute { attribute, element: shown(self.name) });
        }
        if let Some(child) = self.children.next() {
            return Err(unknown_element(child.name, self.name));
        }
        if !self.text.is_empty() {
            return Err(malformed(format!("text in `{}`", shown(self.name))));
        }
        Ok(())
    }

    pub(super) fn unknown_in(&self, parent: &str) -> XmlError {
        unknown_element(self.name, parent)
    }

    pub(super) fn missing(&self, missing: &'static str) -> XmlError {
        XmlError::Missing { element: shown(self.name), missing }
    }

    pub(super) fn bad_value(&self, attribute: &'static str) -> XmlError {
        XmlError::BadValue { attribute, element: shown(self.name) }
    }
}

/// An integer in its only form: no sign but `-`, no leading zero, no white space.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || text == "-0" || (digits.starts_with('0') && digits.len() > 1) {
        return None;
    }
    text.parse().ok()
}

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Option<bool> {
    text.parse().ok()
}

fn unknown_element(element: &str, parent: &str) -> XmlError {
    XmlError::UnknownElement { element: shown(element), parent: shown(parent) }
}

fn malformed(why: impl Display) -> XmlError {
    XmlError::Malformed(shown(&why.to_string()))
}

/// What came from outside, made fit for a log line.
fn shown(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_debug).collect()
}

#[derive(Default)]
struct Inside<'a> {
    elements: Vec<Element<'a>>,
    /// Empty if there is nothing but white space.
    text: String,
}

/// Everything up to the end of the element, or of the document at depth 0.
fn children<'a>(events: &mut std::slice::Iter<'a, Event<'a>>, depth: usize) -> Result<Inside<'a>, XmlError> {
    let mut inside = Inside::default();
    loop {
        match events.next() {
            Some(Event::Start(_) | Event::Empty(_)) if depth == DEPTH_MAX => {
                return Err(malformed(format!("the document is deeper than {DEPTH_MAX} elements")));
            }
            Some(Event::Start(start)) => {
                let within = children(events, depth + 1)?;
                inside.elements.push(element(start, within)?);
            }
            Some(Event::Empty(start)) => inside.elements.push(element(start, Inside::default())?),
            // The reader has compared the names.
            Some(Event::End(_)) => break,
            None if depth == 0 => break,
            None | Some(Event::Eof) => return Err(malformed("the document ends too early")),
            Some(Event::Text(text)) => inside.text.push_str(&text.decode().map_err(malformed)?),
            Some(Event::GeneralRef(reference)) => resolve(reference, &mut inside.text)?,
            Some(Event::Decl(_)) if depth == 0 && inside.elements.is_empty() => {}
            Some(Event::Comment(_)) => {}
            Some(Event::Decl(_) | Event::PI(_)) => {
                return Err(malformed("processing instructions are refused"));
            }
            Some(Event::DocType(_)) => return Err(malformed("a DTD is refused")),
            Some(Event::CData(_)) => return Err(malformed("CDATA is refused")),
        }
    }
    if inside.text.trim_ascii().is_empty() {
        inside.text.clear();
    }
    Ok(inside)
}

fn element<'a>(start: &'a BytesStart<'a>, within: Inside<'a>) -> Result<Element<'a>, XmlError> {
    let name = text(start.name().into_inner())?;
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(malformed)?;
        if attributes.len() == ATTRIBUTES_MAX {
            return Err(malformed(format!("`{name}` has more than {ATTRIBUTES_MAX} attributes")));
        }
        let value = match attribute.value {
            Cow::Borrowed(value) => unescape(text(value)?).map_err(malformed)?,
            Cow::Owned(value) => unescape(text(&value)?).map_err(malformed)?.into_owned().into(),
        };
        if let Cow::Owned(value) = &value {
            check_characters(value)?;
        }
        attributes.push((text(attribute.key.into_inner())?, value));
    }
    let Inside { elements, text } = within;
    Ok(Element { name, attributes, children: elements.into_iter(), text })
}

fn text(bytes: &[u8]) -> Result<&str, XmlError> {
    str::from_utf8(bytes).map_err(malformed)
}

/// XML has no other control characters than these three, not even escaped (XML 1.0 §2.2). The reader lets them pass.
fn check_characters(text: &str) -> Result<(), XmlError> {
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    if text.bytes().any(is_control) || text.contains(['\u{fffe}', '\u{ffff}']) {
        return Err(malformed("a character that XML does not have"));
    }
    Ok(())
}

fn resolve(reference: &BytesRef, into: &mut String) -> Result<(), XmlError> {
    if let Some(c) = reference.resolve_char_ref().map_err(malformed)? {
        into.push(c);
        return check_characters(c.encode_utf8(&mut [0; 4]));
    }
    let name = reference.decode().map_err(malformed)?;
    let value = resolve_xml_entity(&name).ok_or_else(|| malformed(format!("unknown entity `{name}`")))?;
    into.push_str(value);
    Ok(())
}
