//! Values in attributes that are not plain text by themselves.

use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};

use crate::name::Name;

/// A name with `%XX` for every byte that is not printable text, and for `%` itself.
pub(super) struct Encoded<'a>(pub(super) &'a Name);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_bytes().utf8_chunks() {
            for piece in chunk.valid().split_inclusive(needs_encoding) {
                let last = piece.chars().next_back().filter(|c| needs_encoding(*c));
                let plain = piece.len() - last.map_or(0, char::len_utf8);
                f.write_str(&piece[..plain])?;
                percent(f, &piece.as_bytes()[plain..])?;
            }
            percent(f, chunk.invalid())?;
        }
        Ok(())
    }
}

/// `%`; and what XML does not carry, or not unchanged.
fn needs_encoding(c: char) -> bool {
    matches!(c, '%' | '\u{2028}' | '\u{fffe}' | '\u{ffff}') || c.is_control()
}

fn percent(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))
}

/// Reads what [`Encoded`] wrote. Bytes may be percent-encoded without need.
pub(super) fn name(text: &str) -> Option<Name> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (digits, plain) = part.split_at_checked(2)?;
        bytes.push(crate::digest::parse_hex::<1>(digits)?[0]);
        bytes.extend(plain.bytes());
    }
    Name::new(&bytes).ok()
}

/// Bytes in base64.
pub(super) fn base64(bytes: &[u8]) -> Base64Display<'_, 'static, GeneralPurpose> {
    Base64Display::new(bytes, &STANDARD)
}

/// Reads base64 with its padding.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
