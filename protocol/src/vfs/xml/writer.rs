//! Writes elements, attributes and text.

use std::fmt::{self, Write as _};

/// A document being written. An attribute follows its element's start; every start has its end.
pub(super) struct Writer {
    text: String,
    open: Vec<&'static str>,
    /// Whether the last start tag still lacks its `>`.
    in_tag: bool,
}

impl Writer {
    /// A document of about that many bytes.
    pub(super) fn new(bytes_expected: usize) -> Self {
        let mut text = String::with_capacity(bytes_expected);
        text.push_str(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
        text.push('\n');
        Self { text, open: Vec::new(), in_tag: false }
    }

    pub(super) fn start(&mut self, element: &'static str) -> &mut Self {
        self.close_tag();
        self.text.push('<');
        self.text.push_str(element);
        self.open.push(element);
        self.in_tag = true;
        self
    }

    pub(super) fn attribute(&mut self, name: &'static str, value: impl fmt::Display) -> &mut Self {
        debug_assert!(self.in_tag, "attribute {name} after the start tag");
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push_str("=\"");
        let begin = self.text.len();
        let _ = write!(self.text, "{value}");
        self.escape_from(begin);
        self.text.push('"');
        self
    }

    pub(super) fn optional(&mut self, name: &'static str, value: Option<impl fmt::Display>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.close_tag();
        let begin = self.text.len();
        self.text.push_str(text);
        self.escape_from(begin);
        self
    }

    pub(super) fn end(&mut self) -> &mut Self {
        let element = self.open.pop().unwrap_or_default();
        if self.in_tag {
            self.text.push_str("/>");
            self.in_tag = false;
        } else {
            let _ = write!(self.text, "</{element}>");
        }
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.open.is_empty(), "not ended: {:?}", self.open);
        self.text.push('\n');
        self.text.into_bytes()
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.text.push('>');
            self.in_tag = false;
        }
    }

    /// Escapes what was written since `begin`: nearly always nothing.
    fn escape_from(&mut self, begin: usize) {
        if !self.text[begin..].contains(needs_escape) {
            return;
        }
        for c in self.text.split_off(begin).chars() {
            match c {
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '&' => self.text.push_str("&amp;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&apos;"),
                c if needs_escape(c) => self.text.push(char::REPLACEMENT_CHARACTER),
                c => self.text.push(c),
            }
        }
    }
}

/// Markup; and characters that XML does not carry, or not unchanged. The latter occur in messages at most.
fn needs_escape(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '"' | '\'' | '\u{fffe}' | '\u{ffff}') || c.is_control()
}
