//! HTTP/1.1 as far as the benchmark needs it: one keep-alive connection, and the heads of answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest silence of a server.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Longest head of an answer.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest body that is kept: the answer to STORE, an object of the comparison.
const BODY_BYTES_MAX: u64 = 4 << 20;

/// What the head of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its own length, the empty line included.
    pub bytes: usize,
    /// The status.
    pub status: u16,
    /// Length of the body that follows.
    pub body_bytes: u64,
}

impl Head {
    /// Reads a head that `received` begins with; `None` if it is not whole yet.
    ///
    /// # Errors
    /// Not HTTP/1.1, longer than [`HEAD_BYTES_MAX`], or without the length of its body.
    pub fn parse(received: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return if received.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(strange(received)) };
        };
        Self::read(&received[..end]).map(Some).ok_or_else(|| strange(&received[..end]))
    }

    fn read(head: &[u8]) -> Option<Self> {
        let mut lines = str::from_utf8(head).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim())
        });
        Some(Self { bytes: head.len() + 4, status, body_bytes: length?.parse().ok()? })
    }
}

fn strange(head: &[u8]) -> io::Error {
    io::Error::other(format!("a strange answer: {:?}", String::from_utf8_lossy(head)))
}

/// The head of a GET.
pub fn get(server: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n").into_bytes()
}

/// A keep-alive connection with one request at a time.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects.
    pub fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Sends a request, whose body `write` writes, and gives the body of its answer, which must have status 200.
    pub fn exchange(
        &mut self,
        head: &[u8],
        write: impl FnOnce(&mut TcpStream) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        self.stream.write_all(head)?;
        write(&mut self.stream)?;
        let mut received = Vec::new();
        let head = loop {
            self.receive(&mut received, HEAD_BYTES_MAX)?;
            if let Some(head) = Head::parse(&received)? {
                break head;
            }
        };
        if head.body_bytes > BODY_BYTES_MAX {
            return Err(io::Error::other(format!("an answer of {} bytes", head.body_bytes)));
        }
        let mut body = received.split_off(head.bytes);
        while (body.len() as u64) < head.body_bytes {
            self.receive(&mut body, head.body_bytes as usize)?;
        }
        if head.status != 200 {
            let reason = String::from_utf8_lossy(&body).into_owned();
            return Err(io::Error::other(format!("status {}: {reason}", head.status)));
        }
        Ok(body)
    }

    /// Appends what comes next, up to a length of `bytes_max`.
    fn receive(&mut self, received: &mut Vec<u8>, bytes_max: usize) -> io::Result<()> {
        let before = received.len();
        received.resize(bytes_max.max(before + 1), 0);
        let read = self.stream.read(&mut received[before..])?;
        received.truncate(before + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 4096\r\n\r\nbody";
        assert_eq!(
            Head::parse(answer).unwrap(),
            Some(Head { bytes: answer.len() - 4, status: 200, body_bytes: 4096 })
        );
        assert_eq!(Head::parse(&answer[..40]).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_an_answer_is_an_error() {
        for bad in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 abc\r\nContent-Length: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "220 mail.example ESMTP\r\n\r\n",
        ] {
            assert!(Head::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(Head::parse(&[b'x'; HEAD_BYTES_MAX]).is_err());
    }
}
