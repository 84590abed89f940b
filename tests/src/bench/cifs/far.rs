//! A storage center that is far away: what goes to it and comes from it takes its time on the way.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes on the way in one piece, and pieces on the way in one direction of a connection: 64 MiB, so that the time is
/// the only bound.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 1_024;

/// Where `server` is reached with each byte `one_way` later. Lives as long as the process.
pub fn away(server: SocketAddr, one_way: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for near in listener.incoming() {
            let Ok(near) = near else { continue };
            let Ok(far) = TcpStream::connect(server) else { continue };
            for (from, to) in [(&near, &far), (&far, &near)] {
                from.set_nodelay(true).unwrap();
                carry(from.try_clone().unwrap(), to.try_clone().unwrap(), one_way);
            }
        }
    });
    address
}

fn carry(mut from: TcpStream, to: TcpStream, one_way: Duration) {
    let (sender, receiver) = mpsc::sync_channel(PIECES);
    thread::spawn(move || deliver(&receiver, to));
    thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let read = from.read(&mut piece).unwrap_or(0);
            piece.truncate(read);
            if sender.send((Instant::now() + one_way, piece)).is_err() || read == 0 {
                return;
            }
        }
    });
}

/// Until an empty piece, which is the end.
fn deliver(receiver: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    while let Ok((due, piece)) = receiver.recv() {
        #[allow(clippy::disallowed_methods, reason = "the way takes its time")]
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
