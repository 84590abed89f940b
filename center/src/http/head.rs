//! A request's head, as far as it must be understood to answer a plain GET, or to know where the request ends.

use std::mem::MaybeUninit;

use http::Method;
use http::header::HeaderName;
use httparse::{Header, Request, Status};

use crate::dosm::Fields;

/// Most header fields, as hyper has it.
pub const FIELDS_MAX: usize = 100;

/// Room for a head's fields.
pub type Room<'buffer> = [MaybeUninit<Header<'buffer>>; FIELDS_MAX];

/// What was found at the beginning of the bytes received.
#[derive(Debug)]
pub enum Parsed<'buffer> {
    /// The head is not complete.
    Partial,
    /// No head we understand: hyper shall find the words for it.
    Odd,
    /// A head.
    Complete(Head<'buffer>),
}

/// A head in the buffer it was received in.
#[derive(Debug)]
pub struct Head<'buffer> {
    /// GET or HEAD, if that is all the request is: without a body, and asking nothing unusual of the connection.
    pub plain_method: Option<Method>,
    /// What is asked for, as it came.
    pub target: &'buffer str,
    fields: &'buffer [Header<'buffer>],
    /// Bytes of the head.
    pub len: usize,
    /// Bytes of the body; `None` if only its reading will tell.
    pub body_len: Option<u64>,
    /// HTTP/1.1, or else 1.0.
    pub is_version_11: bool,
    /// Whether the connection stays open, as far as the client is concerned.
    pub keeps_alive: bool,
}

impl Head<'_> {
    /// The version as it stands in a status line.
    pub const fn version(&self) -> &'static str {
        if self.is_version_11 { "HTTP/1.1" } else { "HTTP/1.0" }
    }
}

impl Fields for Head<'_> {
    fn values<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.iter().filter(|field| is(field.name, name.as_str()));
        named.map(|field| field.value)
    }
}

/// Reads the head at the beginning of `bytes`.
pub fn parse<'buffer>(bytes: &'buffer [u8], room: &'buffer mut Room<'buffer>) -> Parsed<'buffer> {
    let mut request = Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Odd,
    };
    let Request { method: Some(method), path: Some(target), version: Some(version), headers } = request
    else {
        return Parsed::Odd;
    };
    let mut head = Head {
        plain_method: match method {
            "GET" => Some(Method::GET),
            "HEAD" => Some(Method::HEAD),
            _ => None,
        },
        target,
        fields: headers,
        len,
        // After CONNECT comes whatever was agreed upon.
        body_len: (method != "CONNECT").then_some(0),
        is_version_11: version == 1,
        keeps_alive: version == 1,
    };
    head.note_fields();
    Parsed::Complete(head)
}

impl Head<'_> {
    fn note_fields(&mut self) {
        let (mut lengths, mut connections) = (0, 0);
        for field in self.fields {
            // All we look for have lengths of their own.
            match field.name.len() {
                6 if is(field.name, "expect") => self.plain_method = None,
                7 if is(field.name, "upgrade") => self.plain_method = None,
                10 if is(field.name, "connection") => {
                    connections += 1;
                    match field.value {
                        value if value.eq_ignore_ascii_case(b"keep-alive") => self.keeps_alive = true,
                        value if value.eq_ignore_ascii_case(b"close") => self.keeps_alive = false,
                        _ => self.plain_method = None,
                    }
                }
                14 if is(field.name, "content-length") => {
                    lengths += 1;
                    self.plain_method = None;
                    self.body_len = self.body_len.and_then(|_| number(field.value));
                }
                17 if is(field.name, "transfer-encoding") => {
                    self.plain_method = None;
                    self.body_len = None;
                }
                _ => {}
            }
        }
        if lengths > 1 {
            self.body_len = None;
        }
        if connections > 1 {
            self.plain_method = None;
        }
    }
}

fn is(name: &str, lower_case: &str) -> bool {
    name.eq_ignore_ascii_case(lower_case)
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_head<T>(text: &str, look: impl FnOnce(Option<&Head<'_>>) -> T) -> T {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        match parse(text.as_bytes(), &mut room) {
            Parsed::Complete(head) => look(Some(&head)),
            Parsed::Partial | Parsed::Odd => look(None),
        }
    }

    #[test]
    fn a_plain_get_is_told_from_all_others() {
        let is_plain = |fields: &str| {
            let text = format!("GET /x HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            with_head(&text, |head| head.unwrap().plain_method.is_some())
        };
        for plain in ["", "Range: bytes=0-1\r\n", "connection: Keep-Alive\r\n", "Connection: close\r\n"] {
            assert!(is_plain(plain), "{plain}");
        }
        for odd in [
            "Content-Length: 0\r\n",
            "TRANSFER-ENCODING: chunked\r\n",
            "Expect: 100-continue\r\n",
            "Upgrade: h2c\r\n",
            "Connection: keep-alive, x\r\n",
            "Connection: close\r\nConnection: keep-alive\r\n",
        ] {
            assert!(!is_plain(odd), "{odd}");
        }
        for method in ["PUT", "get", "OPTIONS"] {
            assert!(with_head(&format!("{method} /x HTTP/1.1\r\n\r\n"), |head| head
                .unwrap()
                .plain_method
                .is_none()));
        }
    }

    #[test]
    fn where_a_request_ends_is_known_or_not_claimed() {
        let body = |fields: &str| {
            let text = format!("PUT /x HTTP/1.1\r\n{fields}\r\nbody");
            with_head(&text, |head| {
                let head = head.unwrap();
                assert_eq!(head.len, text.len() - 4);
                head.body_len
            })
        };
        assert_eq!(body(""), Some(0));
        assert_eq!(body("Content-Length: 4\r\n"), Some(4));
        for unclear in [
            "Content-Length: 4\r\nContent-Length: 4\r\n",
            "Content-Length: +4\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        ] {
            assert_eq!(body(unclear), None, "{unclear}");
        }
        assert_eq!(with_head("CONNECT x:1 HTTP/1.1\r\n\r\n", |head| head.unwrap().body_len), None);
    }

    #[test]
    fn versions_keep_their_connections_as_they_are_used_to() {
        let keeps = |version: &str, fields: &str| {
            let text = format!("GET /x HTTP/{version}\r\n{fields}\r\n");
            with_head(&text, |head| head.map(|head| (head.version(), head.keeps_alive)))
        };
        assert_eq!(keeps("1.1", ""), Some(("HTTP/1.1", true)));
        assert_eq!(keeps("1.1", "Connection: close\r\n"), Some(("HTTP/1.1", false)));
        assert_eq!(keeps("1.0", ""), Some(("HTTP/1.0", false)));
        assert_eq!(keeps("1.0", "Connection: keep-alive\r\n"), Some(("HTTP/1.0", true)));
        assert_eq!(keeps("2.0", ""), None);
        assert!(with_head("GET /x HTTP/1.1\r\nHost: x\r\n", |head| head.is_none()));
    }
}
