//! A client that costs little: call records made before the clock starts, many in flight, replies looked at only as
//! far as their status. What it measures is the server.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::rpc::{Connection, Credential};

const TIMEOUT: Duration = Duration::from_secs(60);
/// Replies are received in parts of at most this size: it stays in the processor's cache.
const BUFFER_BYTES: usize = 256 << 10;
/// Calls up to this size go out together.
const BATCH_BYTES: usize = 64 << 10;
const MARK_BYTES: usize = 4;
/// Words of a reply up to the status of an NFS procedure: xid, REPLY, MSG_ACCEPTED, an empty verifier, SUCCESS, status.
const STATUS_WORDS: usize = 7;

/// Call records to send in turn, again and again, each under a new transaction id.
pub struct Script {
    records: Vec<Vec<u8>>,
    /// Where the 64-bit offset of a WRITE stands in the one record there is, and by how much it grows from call to
    /// call: so that a megabyte for each call need not be held.
    offset: Option<(usize, u64)>,
}

impl Script {
    /// Records as [`Connection::record`] makes them.
    pub fn new(records: Vec<Vec<u8>>) -> Self {
        Self { records, offset: None }
    }

    /// One WRITE, the `n`th time at `n × step` of the file. `place` is where its offset stands in the record.
    pub fn write(record: Vec<u8>, place: usize, step: u64) -> Self {
        Self { records: vec![record], offset: Some((place, step)) }
    }

    fn record(&mut self, xid: u32, number: u32) -> &[u8] {
        let index = number as usize % self.records.len();
        let record = &mut self.records[index];
        record[MARK_BYTES..][..4].copy_from_slice(&xid.to_be_bytes());
        if let Some((place, step)) = self.offset {
            record[place..][..8].copy_from_slice(&(u64::from(number) * step).to_be_bytes());
        }
        record
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replies {
    /// How many.
    pub count: u32,
    /// Their bytes, without record marks.
    pub bytes: u64,
}

/// A connection and what was received on it and not looked at yet.
pub struct Pipe {
    connection: Connection,
    /// Drawn: a server that remembers answers must not take a call for the repetition of an earlier connection's.
    next_xid: u32,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Pipe {
    /// Connects as root.
    pub fn open(server: SocketAddr) -> io::Result<Self> {
        let connection = Connection::open(server, &Credential::root(), TIMEOUT)?;
        Ok(Self {
            connection,
            next_xid: rand::random_range(0..u32::MAX),
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
        })
    }

    /// For making records.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Keeps up to `window` calls of the script in flight for as long as `more` wants, told how many were sent; then
    /// waits for the last reply. Replies shorter than `reply_bytes_min` are errors.
    pub fn run(
        &mut self,
        script: &mut Script,
        window: u32,
        reply_bytes_min: usize,
        more: impl Fn(u32) -> bool,
    ) -> io::Result<Replies> {
        let mut replies = Replies::default();
        let mut sent = 0;
        let mut batch = Vec::new();
        loop {
            while sent - replies.count < window && more(sent) {
                let record = script.record(self.next_xid, sent);
                self.next_xid = self.next_xid.wrapping_add(1);
                if record.len() > BATCH_BYTES {
                    self.connection.stream().write_all(record)?;
                } else {
                    batch.extend_from_slice(record);
                }
                sent += 1;
            }
            self.connection.stream().write_all(&batch)?;
            batch.clear();
            if sent == replies.count {
                return Ok(replies);
            }
            // Half a window: the server is never without calls while the client makes new ones.
            for _ in 0..(sent - replies.count).min(window.div_ceil(2)) {
                let len = self.receive()?;
                if len < reply_bytes_min {
                    return Err(io::Error::other(format!("a reply of {len} bytes is too short")));
                }
                replies.count += 1;
                replies.bytes += len as u64;
            }
        }
    }

    /// Takes one reply: its length without the mark.
    fn receive(&mut self) -> io::Result<usize> {
        let mark = u32::from_be_bytes(self.peek::<MARK_BYTES>()?);
        self.start += MARK_BYTES;
        let len = (mark & 0x7fff_ffff) as usize;
        let is_nfs = len >= 4 * STATUS_WORDS;
        let head = if is_nfs { self.peek::<{ 4 * STATUS_WORDS }>()? } else { pad(self.peek::<24>()?) };
        let word = |index: usize| head[4 * index..][..4].try_into().map_or(u32::MAX, u32::from_be_bytes);
        if mark & 0x8000_0000 == 0 || [1, 2, 4, 5, 6].map(word) != [1, 0, 0, 0, 0] {
            return Err(io::Error::other(format!("a call failed: mark {mark:#x}, reply {head:x?}")));
        }
        let mut left = len;
        while left > 0 {
            if self.start == self.end {
                self.fill()?;
            }
            let step = left.min(self.end - self.start);
            self.start += step;
            left -= step;
        }
        Ok(len)
    }

    /// The next `N` bytes, which stay.
    fn peek<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        while self.end - self.start < N {
            self.fill()?;
        }
        Ok(*self.buffer[self.start..].first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match self.connection.stream().read(&mut self.buffer[self.end..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            received => {
                self.end += received;
                Ok(())
            }
        }
    }
}

/// The head of a reply without results, its status as if it were 0.
fn pad(head: [u8; 24]) -> [u8; 4 * STATUS_WORDS] {
    let mut padded = [0; 4 * STATUS_WORDS];
    padded[..24].copy_from_slice(&head);
    padded
}
