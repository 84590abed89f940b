//! Replies waiting for their socket: gathered into few writes, files sent by `sendfile`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use super::claim::Permit;
use super::turn;
use crate::filesystem::Segment;
use crate::reply::Reply;
use crate::xdr::PADDING;

/// Small replies are joined up to this size, which is also kept for the next ones.
const JOINED_BYTES_MAX: usize = 64 << 10;
/// Pieces in one write.
const PIECES_MAX: usize = 64;
/// Replies from this length on are not joined but sent from where they were encoded.
const JOINED_BYTES_EACH_MAX: usize = 32 << 10;

/// A part of the stream.
#[derive(Debug)]
enum Piece {
    /// Encoded replies, joined; sent from `at` on. The large ones among them had memory set aside.
    Joined { bytes: Vec<u8>, at: usize, permit: Permit },
    /// Data in memory.
    Shared { bytes: Bytes, _permit: Option<Arc<OwnedSemaphorePermit>> },
    /// Data in a file.
    File { file: Arc<File>, offset: u64, len: usize },
}

/// All replies of one connection that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Piece>,
    memory_bytes: usize,
    /// A joined buffer that was sent, kept for the next replies.
    spare: Vec<u8>,
}

impl Output {
    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes in memory that wait.
    pub const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Pieces that wait: each keeps memory or an open file.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Gives back what is only kept for speed.
    pub fn shrink(&mut self) {
        self.spare = Vec::new();
    }

    /// Appends a reply. The permit for its memory is held until it is written. Gives back the memory in which the reply
    /// was encoded, unless that is sent itself.
    pub fn push(&mut self, reply: Reply, permit: Permit) -> Vec<u8> {
        let (mut head, data, padding) = reply.into_parts();
        let (head_permit, permit) = if data.is_empty() { (permit, None) } else { (None, permit) };
        if head.len() < JOINED_BYTES_EACH_MAX {
            self.join(&head, head_permit);
        } else {
            self.memory_bytes += head.len();
            let bytes = std::mem::take(&mut head);
            self.pieces.push_back(Piece::Joined { bytes, at: 0, permit: head_permit });
        }
        if data.is_empty() {
            return head;
        }
        let permit = permit.map(Arc::new);
        for segment in data {
            match segment {
                Segment::Bytes(bytes) if bytes.is_empty() => {}
                Segment::Bytes(bytes) => {
                    self.memory_bytes += bytes.len();
                    self.pieces.push_back(Piece::Shared { bytes, _permit: permit.clone() });
                }
                Segment::File { len: 0, .. } => {}
                Segment::File { file, offset, len } => {
                    self.pieces.push_back(Piece::File { file, offset, len: len as usize });
                }
            }
        }
        self.join(&PADDING[..padding], None);
        head
    }

    fn join(&mut self, part: &[u8], part_permit: Permit) {
        self.memory_bytes += part.len();
        if let Some(Piece::Joined { bytes, permit, .. }) = self.pieces.back_mut()
            && bytes.len() + part.len() <= JOINED_BYTES_MAX
        {
            bytes.extend_from_slice(part);
            match (permit, part_permit) {
                (Some(permit), Some(part_permit)) => permit.merge(part_permit),
                (permit, part_permit) => *permit = permit.take().or(part_permit),
            }
        } else if !part.is_empty() {
            let mut bytes = std::mem::take(&mut self.spare);
            bytes.extend_from_slice(part);
            self.pieces.push_back(Piece::Joined { bytes, at: 0, permit: part_permit });
        }
    }

    /// Writes as much as the socket takes now, as far as one turn goes. How many bytes it took.
    ///
    /// # Errors
    /// The connection is of no use any more. `UnexpectedEof`: a file ended before its segment, and what was announced
    /// to the client cannot be sent.
    pub fn write(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut sent = 0;
        while !self.pieces.is_empty() && sent < turn::BYTES_MAX {
            let written = match self.pieces.front_mut() {
                Some(Piece::File { file, offset, len }) => send_file(stream, file, offset, len),
                _ => self.send_memory(stream),
            };
            match written {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if matches!(self.pieces.front(), Some(Piece::File { len: 0, .. })) {
                self.pieces.pop_front();
            }
        }
        Ok(sent)
    }

    fn send_memory(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        let mut file_follows = false;
        for piece in self.pieces.iter().take(PIECES_MAX) {
            match piece {
                Piece::Joined { bytes, at, .. } => slices[count] = IoSlice::new(&bytes[*at..]),
                Piece::Shared { bytes, .. } => slices[count] = IoSlice::new(bytes),
                Piece::File { .. } => {
                    file_follows = true;
                    break;
                }
            }
            count += 1;
        }
        // With MORE the kernel waits for the file's first bytes instead of sending a packet of some header bytes.
        let more = if file_follows { SendFlags::MORE } else { SendFlags::empty() };
        let written = stream.try_io(Interest::WRITABLE, || {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | more;
            Ok(sendmsg(stream, &slices[..count], &mut SendAncillaryBuffer::default(), flags)?)
        })?;
        self.advance(written);
        Ok(written)
    }

    /// Drops `written` bytes from the front; they are all in memory.
    fn advance(&mut self, mut written: usize) {
        self.memory_bytes -= written;
        while let Some(piece) = self.pieces.front_mut() {
            let left = match piece {
                Piece::Joined { bytes, at, .. } => {
                    let step = written.min(bytes.len() - *at);
                    *at += step;
                    written -= step;
                    bytes.len() - *at
                }
                Piece::Shared { bytes, .. } => {
                    let step = written.min(bytes.len());
                    bytes.advance(step);
                    written -= step;
                    bytes.len()
                }
                Piece::File { .. } => return,
            };
            if left > 0 {
                return;
            }
            if let Some(Piece::Joined { mut bytes, .. }) = self.pieces.pop_front()
                && (self.spare.capacity()..=JOINED_BYTES_MAX).contains(&bytes.capacity())
            {
                bytes.clear();
                self.spare = bytes;
            }
        }
    }
}

/// Sends a part of a file and moves `offset` and `len` on.
fn send_file(stream: &TcpStream, file: &File, offset: &mut u64, len: &mut usize) -> io::Result<usize> {
    let sent = stream.try_io(Interest::WRITABLE, || {
        // `offset` moves only on success.
        Ok(rustix::fs::sendfile(stream, file, Some(offset), (*len).min(turn::BYTES_MAX))?)
    })?;
    if sent == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file ended before the data announced"));
    }
    *len -= sent;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    fn file(bytes: &[u8], announced: u32) -> Segment {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Segment::File { file: Arc::new(file), offset: 1, len: announced }
    }

    #[tokio::test]
    async fn pieces_of_every_kind_come_in_order_with_padding_behind_the_data() {
        let (server, mut client) = connected().await;
        let mut output = Output::default();
        let data =
            vec![Segment::Bytes(Bytes::from_static(b"ab")), file(b"-cdef", 4), Segment::Bytes(Bytes::new())];
        output.push(Reply::new(Reply::encoder(Vec::new()), data), None);
        output.push(Reply::new(Reply::encoder(Vec::new()), Vec::new()), None);
        assert_eq!(output.write(&server).unwrap(), 16);
        assert!(output.is_empty() && output.memory_bytes() == 0);
        drop(server);
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"\x80\0\0\x08abcdef\0\0\x80\0\0\0");
    }

    /// A client that does not take its listings holds no more memory than was set aside for them.
    #[tokio::test]
    async fn memory_set_aside_for_a_reply_comes_back_when_it_is_written() {
        let (server, _client) = connected().await;
        let memory = Arc::new(tokio::sync::Semaphore::new(300));
        for (first, second) in [(10, 10), (JOINED_BYTES_EACH_MAX, 10), (10, JOINED_BYTES_EACH_MAX)] {
            let mut output = Output::default();
            for (bytes, permits) in [(first, 100), (second, 200)] {
                let mut encoder = Reply::encoder(Vec::new());
                encoder.opaque(&vec![7; bytes]);
                let permit = Arc::clone(&memory).try_acquire_many_owned(permits).unwrap();
                output.push(Reply::new(encoder, Vec::new()), Some(permit));
            }
            assert_eq!(memory.available_permits(), 0);
            output.write(&server).unwrap();
            assert!(output.is_empty());
            assert_eq!(memory.available_permits(), 300);
        }
    }

    /// What was announced cannot be sent, and anything else in its place would be taken for data.
    #[tokio::test]
    async fn a_file_that_ends_early_ends_the_connection() {
        let (server, _client) = connected().await;
        let mut output = Output::default();
        output.push(Reply::new(Reply::encoder(Vec::new()), vec![file(b"short", 100)]), None);
        assert_eq!(output.write(&server).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
