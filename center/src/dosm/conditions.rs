//! Conditional and range requests (CDN-2; RFC 9110 §13, §14): pure.

use http::header::HeaderName;
use http::{HeaderMap, header};
use protocol::digest::Fingerprint;

/// The header fields of a request, however they were parsed.
pub trait Fields {
    /// The values of a field, in their order.
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]>;
}

impl Fields for HeaderMap {
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(|value| value.as_bytes())
    }
}

/// What to answer to a GET or HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// 200 with all of it.
    Whole,
    /// 206 with these bytes, never none.
    Part {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// 416.
    Unsatisfiable,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// The strong validator of an object: its name.
pub fn etag(fingerprint: Fingerprint) -> String {
    format!("\"{fingerprint}\"")
}

/// Applies the request's conditions and range to an object.
pub fn select(fields: &impl Fields, fingerprint: Fingerprint, size: u64) -> Selected {
    let etag = etag(fingerprint);
    if fields.values(&header::IF_MATCH).next().is_some() && !lists(fields, &header::IF_MATCH, &etag, false) {
        return Selected::PreconditionFailed;
    }
    if lists(fields, &header::IF_NONE_MATCH, &etag, true) {
        return Selected::NotModified;
    }
    let Some(range) = single_value(fields, &header::RANGE) else { return Selected::Whole };
    let has_if_range = fields.values(&header::IF_RANGE).next().is_some();
    if has_if_range && single_value(fields, &header::IF_RANGE) != Some(&etag) {
        return Selected::Whole;
    }
    parse_range(range, size)
}

fn single_value<'a>(fields: &'a impl Fields, name: &'a HeaderName) -> Option<&'a str> {
    let mut values = fields.values(name);
    let first = values.next()?;
    if values.next().is_some() { None } else { to_text(first) }
}

fn lists(fields: &impl Fields, name: &HeaderName, etag: &str, weakly: bool) -> bool {
    let mut tags = fields.values(name).filter_map(to_text).flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag == etag || (weakly && tag.strip_prefix("W/") == Some(etag))
    })
}

/// A value that is nothing but visible ASCII, spaces and tabs.
fn to_text(value: &[u8]) -> Option<&str> {
    let plain = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    str::from_utf8(value).ok().filter(|_| plain)
}

/// A single byte range. Several ranges, and what is no byte range, are ignored as RFC 9110 §14.2 allows.
fn parse_range(text: &str, size: u64) -> Selected {
    let Some(("bytes", range)) = text.trim().split_once('=') else { return Selected::Whole };
    let Some((first, last)) = range.trim().split_once('-') else { return Selected::Whole };
    match (number(first), number(last)) {
        (Some(start), last) if last.is_some_and(|last| last >= start) || is_open(range, '-') => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            if start < end { Selected::Part { start, end } } else { Selected::Unsatisfiable }
        }
        (None, Some(suffix)) if first.is_empty() => match suffix.min(size) {
            0 => Selected::Unsatisfiable,
            suffix => Selected::Part { start: size - suffix, end: size },
        },
        _ => Selected::Whole,
    }
}

/// `5-`: from there to the end.
fn is_open(range: &str, mark: char) -> bool {
    range.trim().ends_with(mark)
}

/// Digits only; too many of them mean a number past every end.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NAME: Fingerprint = Fingerprint([0xab; 16]);

    fn with(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn range(text: &str, size: u64) -> Selected {
        select(&with(&[(header::RANGE, text)]), NAME, size)
    }

    /// CDN-2, SYS-9: ranges at every edge, in 64 bits.
    #[test]
    fn ranges_at_the_edges() {
        let part = |start, end| Selected::Part { start, end };
        assert_eq!(range("bytes=0-0", 10), part(0, 1));
        assert_eq!(range("bytes=9-9", 10), part(9, 10));
        assert_eq!(range("bytes=0-9", 10), part(0, 10));
        assert_eq!(range("bytes=0-10", 10), part(0, 10));
        assert_eq!(range("bytes=5-", 10), part(5, 10));
        assert_eq!(range("bytes=-3", 10), part(7, 10));
        assert_eq!(range("bytes=-30", 10), part(0, 10));
        assert_eq!(range("bytes=4294967296-4294967296", 5_000_000_000), part(4_294_967_296, 4_294_967_297));
        assert_eq!(range("bytes=3-99999999999999999999999", 10), part(3, 10));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-"] {
            assert_eq!(range(outside, 10), Selected::Unsatisfiable, "{outside}");
        }
        assert_eq!(range("bytes=0-", 0), Selected::Unsatisfiable);
        assert_eq!(range("bytes=-1", 0), Selected::Unsatisfiable);
    }

    /// RFC 9110 §14.2: what is not understood is as if it were not there.
    #[test]
    fn odd_ranges_are_ignored() {
        for odd in [
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=a-b",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes",
            "bytes=+1-2",
            "bytes=1 -2",
        ] {
            assert_eq!(range(odd, 10), Selected::Whole, "{odd}");
        }
    }

    /// CDN-2: validators.
    #[test]
    fn conditions_are_applied() {
        let tag = etag(NAME);
        let whole = |pairs: &[(header::HeaderName, &str)]| select(&with(pairs), NAME, 10);
        assert_eq!(whole(&[(header::IF_NONE_MATCH, &tag)]), Selected::NotModified);
        assert_eq!(whole(&[(header::IF_NONE_MATCH, &format!("\"x\", W/{tag}"))]), Selected::NotModified);
        assert_eq!(whole(&[(header::IF_NONE_MATCH, "*")]), Selected::NotModified);
        assert_eq!(whole(&[(header::IF_NONE_MATCH, "\"other\"")]), Selected::Whole);
        assert_eq!(whole(&[(header::IF_MATCH, "\"other\"")]), Selected::PreconditionFailed);
        assert_eq!(whole(&[(header::IF_MATCH, &tag)]), Selected::Whole);
        assert_eq!(whole(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, "\"other\"")]), Selected::Whole);
        assert_eq!(
            whole(&[(header::RANGE, "bytes=1-2"), (header::IF_RANGE, &tag)]),
            Selected::Part { start: 1, end: 3 }
        );
    }
}
