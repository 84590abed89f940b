//! Conditional and range requests (CDN-2; RFC 9110 §13, §14): pure.

use http::{HeaderMap, header};
use protocol::digest::Fingerprint;

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
pub fn select(headers: &HeaderMap, fingerprint: Fingerprint, size: u64) -> Selected {
    let etag = etag(fingerprint);
    if headers.contains_key(header::IF_MATCH) && !lists(headers, header::IF_MATCH, &etag, false) {
        return Selected::PreconditionFailed;
    }
    if lists(headers, header::IF_NONE_MATCH, &etag, true) {
        return Selected::NotModified;
    }
    let Some(range) = single_value(headers, header::RANGE) else { return Selected::Whole };
    if headers.contains_key(header::IF_RANGE) && single_value(headers, header::IF_RANGE) != Some(&etag) {
        return Selected::Whole;
    }
    parse_range(range, size)
}

fn single_value(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn lists(headers: &HeaderMap, name: header::HeaderName, etag: &str, weakly: bool) -> bool {
    let values = headers.get_all(name);
    let mut tags = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag == etag || (weakly && tag.strip_prefix("W/") == Some(etag))
    })
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
