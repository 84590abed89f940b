//! A client that costs little: many keep-alive connections on one thread, requests made before the clock starts,
//! answers checked for status and length and then discarded in the kernel. What it measures is the server.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::{RecvFlags, recv};

use super::http::{HEAD_BYTES_MAX, Head, PATIENCE};

/// Bytes discarded at a time. The memory is never touched.
const DISCARD_BYTES: usize = 1 << 20;

/// Requests to send in turn, again and again, and what they are answered with.
pub struct Load {
    /// Who is asked.
    pub server: SocketAddr,
    /// Whole requests, one as good as the other.
    pub requests: Vec<Vec<u8>>,
    /// Length of the body of every answer.
    pub body_bytes: u64,
}

impl Load {
    /// Keeps one request in flight on each of so many connections for as long as `more` wants, told how many were
    /// sent; then waits for the last answer. How many answers there were.
    ///
    /// # Errors
    /// An answer of another status than 200 or another length, or a silent server.
    pub fn run(&self, connections: usize, more: impl Fn(u64) -> bool) -> io::Result<u64> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut open = Vec::with_capacity(connections);
        for index in 0..connections {
            let stream = TcpStream::connect(self.server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&poll, &stream, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
            open.push(Connection { stream, head: Vec::with_capacity(HEAD_BYTES_MAX), left: 0 });
        }
        let (mut sent, mut answered) = (0, 0);
        for connection in &mut open {
            if more(sent) {
                connection.send(self.request(sent))?;
                sent += 1;
            }
        }
        let mut memory = vec![0; DISCARD_BYTES];
        let mut events = Vec::with_capacity(connections);
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        while answered < sent {
            epoll::wait(&poll, spare_capacity(&mut events), Some(&patience))?;
            if events.is_empty() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            for event in events.drain(..) {
                let connection = &mut open[event.data.u64() as usize];
                if !connection.receive(&mut memory, self.body_bytes)? {
                    continue;
                }
                answered += 1;
                if more(sent) {
                    connection.send(self.request(sent))?;
                    sent += 1;
                }
            }
        }
        Ok(answered)
    }

    fn request(&self, number: u64) -> &[u8] {
        &self.requests[number as usize % self.requests.len()]
    }
}

struct Connection {
    stream: TcpStream,
    /// What has come of the head; empty while a body is on its way.
    head: Vec<u8>,
    /// Bytes of the body to come.
    left: u64,
}

impl Connection {
    /// A request is smaller than an empty socket buffer, so it leaves at once.
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(request)
    }

    /// Takes what has come: whether the answer is whole now.
    fn receive(&mut self, memory: &mut [u8], body_bytes: u64) -> io::Result<bool> {
        if self.left == 0 && !self.receive_head(memory, body_bytes)? {
            return Ok(false);
        }
        if self.left > 0 {
            let length = memory.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            // MSG_TRUNC on a TCP socket: taken from the socket without being copied anywhere (tcp(7)).
            self.left -= match recv(&self.stream, &mut memory[..length], RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, discarded)) => discarded as u64,
                Err(rustix::io::Errno::AGAIN) => 0,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.left == 0)
    }

    /// Takes the head and what of the body came with it: whether the head is whole now.
    fn receive_head(&mut self, memory: &mut [u8], body_bytes: u64) -> io::Result<bool> {
        let read = (&self.stream).read(&mut memory[..HEAD_BYTES_MAX])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.head.extend_from_slice(&memory[..read]);
        let Some(head) = Head::parse(&self.head)? else { return Ok(false) };
        let came = (self.head.len() - head.bytes) as u64;
        if (head.status, head.body_bytes) != (200, body_bytes) || came > body_bytes {
            let told = String::from_utf8_lossy(&self.head[..head.bytes]).into_owned();
            return Err(io::Error::other(format!("not 200 with {body_bytes} bytes: {told}")));
        }
        self.left = body_bytes - came;
        self.head.clear();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::super::http;
    use super::*;

    /// Answers `answer` to every request of each connection, in pieces of so many bytes.
    fn serve(answer: Vec<u8>, piece_bytes: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.unwrap(), answer.clone());
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let mut request = [0; 1024];
                    while stream.read(&mut request).is_ok_and(|read| read > 0) {
                        let sent = answer.chunks(piece_bytes).try_for_each(|piece| stream.write_all(piece));
                        if sent.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn answer(status: &str, body_bytes: usize) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 {status}\r\nContent-Length: {body_bytes}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + body_bytes, b'x');
        answer
    }

    #[test]
    fn every_request_is_answered_however_the_answers_are_cut() {
        for piece_bytes in [1, 7, 40_000, 1 << 20] {
            let body_bytes = if piece_bytes < 10 { 300 } else { 300_000 };
            let server = serve(answer("200 OK", body_bytes), piece_bytes);
            let load =
                Load { server, requests: vec![http::get(server, "/a")], body_bytes: body_bytes as u64 };
            assert_eq!(load.run(4, |sent| sent < 50).unwrap(), 50);
        }
    }

    #[test]
    fn a_wrong_answer_is_no_success() {
        for (status, body_bytes) in [("404 Not Found", 10), ("200 OK", 9)] {
            let server = serve(answer(status, body_bytes), 1_000);
            let load = Load { server, requests: vec![http::get(server, "/a")], body_bytes: 10 };
            let error = load.run(1, |sent| sent < 1).unwrap_err();
            assert!(error.to_string().contains(status), "{error}");
        }
    }
}
