//! The bare limits, as a process of its own so that its processor time can be read: what is left of an NFS server
//! when nothing is decoded, checked or looked up. A call gets an empty success (the echo), a READ its bytes by
//! `sendfile` from a file whose name is an argument.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use nfs3_types::nfs3::NFS_PROGRAM;
use rustix::net::{SendFlags, send};

/// First argument by which the benchmark's program becomes this server.
pub const ARGUMENT: &str = "bare-server";
const BUFFER_BYTES: usize = 256 << 10;
/// Words of a call that this server looks at: mark, xid, CALL, RPC version, program, version, procedure.
const HEAD_BYTES: usize = 7 * 4;
/// The count of a READ, before it its offset: the last words of its record.
const READ_TAIL_BYTES: usize = 12;
/// What stands in a READ's reply between its status and its data: attributes, count, end of file, length.
const READ_HEAD_BYTES: usize = 4 + 84 + 4 + 4 + 4;

/// A running server; ended when dropped.
pub struct Bare {
    child: Child,
    /// Where it listens.
    pub server: SocketAddr,
}

impl Bare {
    /// Starts this very program as the server.
    pub fn start(file: &Path) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let server = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { child, server })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server's own main: says where it listens, then a thread for each connection.
pub fn serve(file: &Path) -> io::Result<()> {
    let file = Arc::new(File::open(file)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (stream, file) = (stream?, Arc::clone(&file));
        stream.set_nodelay(true)?;
        // A client that goes away ends its thread, whatever the error.
        thread::spawn(move || answer_all(stream, &file));
    }
    Ok(())
}

fn answer_all(mut stream: TcpStream, file: &File) -> io::Result<()> {
    let (mut buffer, mut end) = (vec![0; BUFFER_BYTES], 0);
    let mut replies = Vec::new();
    loop {
        let received = stream.read(&mut buffer[end..])?;
        if received == 0 {
            return Ok(());
        }
        end += received;
        let mut start = 0;
        while let Some(record) = record(&buffer[start..end]) {
            start += record.len();
            let word = |index: usize| u32::from_be_bytes(record[4 * index..][..4].try_into().unwrap());
            let (xid, procedure) = (word(1), word(6));
            if procedure == NFS_PROGRAM::NFSPROC3_READ as u32 {
                let tail: [u8; READ_TAIL_BYTES] = *record.last_chunk().unwrap();
                let offset = u64::from_be_bytes(tail[..8].try_into().unwrap());
                let count = u32::from_be_bytes(tail[8..].try_into().unwrap());
                send_data(&stream, xid, file, offset, count as usize)?;
            } else {
                replies.extend_from_slice(&head(xid, 0));
            }
        }
        stream.write_all(&replies)?;
        replies.clear();
        buffer.copy_within(start..end, 0);
        end -= start;
    }
}

/// The first whole record, its mark included.
fn record(bytes: &[u8]) -> Option<&[u8]> {
    let mark = u32::from_be_bytes(*bytes.first_chunk()?);
    let record = bytes.get(..4 + (mark & 0x7fff_ffff) as usize)?;
    (record.len() >= HEAD_BYTES + READ_TAIL_BYTES).then_some(record)
}

/// Mark, xid, REPLY, MSG_ACCEPTED, an empty verifier, SUCCESS.
fn head(xid: u32, result_bytes: usize) -> [u8; 28] {
    let mut head = [0; 28];
    let mark = 0x8000_0000 | (24 + result_bytes) as u32;
    for (place, word) in [mark, xid, 1].into_iter().enumerate() {
        head[4 * place..][..4].copy_from_slice(&word.to_be_bytes());
    }
    head
}

fn send_data(stream: &TcpStream, xid: u32, file: &File, offset: u64, count: usize) -> io::Result<()> {
    let mut reply = [0; 28 + 4 + READ_HEAD_BYTES];
    reply[..28].copy_from_slice(&head(xid, 4 + READ_HEAD_BYTES + count));
    let sent = send(stream, &reply, SendFlags::MORE)?;
    if sent < reply.len() {
        (&mut &*stream).write_all(&reply[sent..])?;
    }
    let (mut offset, end) = (offset, offset + count as u64);
    while offset < end {
        let left = (end - offset) as usize;
        if rustix::fs::sendfile(stream, file, Some(&mut offset), left)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
