//! The `date` of an answer, worked out once a second by each thread.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

thread_local! {
    static LAST: RefCell<(u64, Vec<u8>)> = const { RefCell::new((u64::MAX, Vec::new())) };
}

/// Appends the date at this second since the epoch.
pub fn append(out: &mut Vec<u8>, now: u64) {
    LAST.with_borrow_mut(|(second, text)| {
        if *second != now {
            *second = now;
            text.clear();
            // Writing to memory does not fail.
            let _ = write!(text, "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(now)));
        }
        out.extend_from_slice(text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §5.6.7
    #[test]
    fn dates_are_written_as_http_has_them() {
        for (now, text) in
            [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT")]
        {
            let mut out = b"date: ".to_vec();
            append(&mut out, now);
            append(&mut out, now);
            assert_eq!(out, format!("date: {text}{text}").as_bytes());
        }
    }
}
