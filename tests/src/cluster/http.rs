//! HTTP as a plain client speaks it: one request on one connection, no second try. So what a test sees is what the
//! storage center did, and a body that ends early is an error.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use protocol::vfs::xml::decode_error;

use crate::netns::Entrance;

/// How long a host may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may make no progress.
const SILENCE_PATIENCE: Duration = Duration::from_secs(25);
/// Largest header.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// A client on a host.
#[derive(Clone, Debug)]
pub struct Http(Entrance);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'request> {
    /// GET, PUT, DELETE.
    pub method: &'request str,
    /// Path, percent-encoded.
    pub path: &'request str,
    /// Headers besides the usual ones.
    pub headers: &'request [(&'request str, String)],
    /// Body; empty for none.
    pub body: &'request [u8],
}

/// An answer whose body is still to be read.
pub struct Answering {
    /// HTTP status.
    pub status: u16,
    /// Header lines.
    pub head: String,
    /// Bytes of the body that have not been read.
    pub left: u64,
    stream: BufReader<TcpStream>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header lines.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Http {
    /// On the host behind this entrance.
    pub fn new(entrance: Entrance) -> Self {
        Self(entrance)
    }

    /// Sends a request and reads the header of the answer.
    ///
    /// # Errors
    /// No connection, silence, or something that is not HTTP.
    pub fn ask(&self, server: SocketAddr, request: Request<'_>) -> io::Result<Answering> {
        let mut stream = self.0.inside(|| TcpStream::connect_timeout(&server, CONNECT_PATIENCE))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_PATIENCE))?;
        stream.set_write_timeout(Some(SILENCE_PATIENCE))?;
        let Request { method, path, headers, body } = request;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
        if method != "GET" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (key, value) in headers {
            head.push_str(&format!("{key}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        // Who refuses may answer before the body is there, and close.
        Answering::read(stream).map_err(|error| sent.err().unwrap_or(error))
    }

    /// Sends a request and reads all of the answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); also a body that ends early.
    pub fn exchange(&self, server: SocketAddr, request: Request<'_>) -> io::Result<Answer> {
        self.ask(server, request)?.finish()
    }
}

impl Answering {
    fn read(stream: TcpStream) -> io::Result<Self> {
        let mut stream = BufReader::with_capacity(64 << 10, stream);
        let mut head = String::new();
        let mut lines = (&mut stream).take(HEAD_BYTES_MAX);
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| not_http(&head))?;
        let left = match header(&head, "content-length") {
            Some(length) => length.parse().map_err(|_| not_http(&head))?,
            None if matches!(status, 204 | 304) => 0,
            None => return Err(not_http(&head)),
        };
        Ok(Self { status, head, left, stream })
    }

    /// The next bytes of the body: so many, or what is left of it.
    ///
    /// # Errors
    /// It ends early, or nothing comes for long.
    pub fn piece(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut next = vec![0; bytes.min(usize::try_from(self.left).unwrap_or(usize::MAX))];
        self.stream.read_exact(&mut next)?;
        self.left -= next.len() as u64;
        Ok(next)
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// As [`piece`](Self::piece).
    pub fn finish(mut self) -> io::Result<Answer> {
        let body = self.piece(usize::MAX)?;
        Ok(Answer { status: self.status, head: self.head, body })
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The code of the XML error, such as `not-found`; empty if it is none.
    pub fn code(&self) -> String {
        decode_error(&self.body).map(|error| error.code).unwrap_or_default()
    }

    /// Status and what was said, in a line.
    pub fn summary(&self) -> String {
        match decode_error(&self.body) {
            Ok(error) => format!("{} {}: {}", self.status, error.code, error.message),
            Err(_) => format!("{} with {} bytes", self.status, self.body.len()),
        }
    }
}

fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn not_http(head: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no HTTP answer with a length: {head:?}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answered(bytes: &'static [u8]) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
        let answer = Answering::read(TcpStream::connect(address).unwrap()).and_then(Answering::finish);
        server.join().unwrap();
        answer
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let answer = answered(b"HTTP/1.1 206 Partial\r\nA: b\r\ncontent-LENGTH: 3\r\n\r\nabcdef").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (206, &b"abc"[..]));
        assert_eq!(answer.header("a"), Some("b"));
        assert_eq!(answered(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, b"");
    }

    #[test]
    fn an_answer_that_ends_early_is_an_error() {
        let error = |bytes| answered(bytes).unwrap_err().kind();
        assert_eq!(error(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), ErrorKind::UnexpectedEof);
        assert_eq!(error(b"HTTP/1.1 200 OK\r\ncontent-le"), ErrorKind::UnexpectedEof);
        assert_eq!(error(b"HTTP/1.1 200 OK\r\n\r\nabc"), ErrorKind::InvalidData);
    }
}
