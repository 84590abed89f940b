//! Byte-range locks (`fcntl`) of a process of its own: held, tried, asked about.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::exit;
use std::thread;
use std::time::Duration;

/// How and which bytes.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    exclusive: bool,
    start: i64,
    /// 0 reaches to the end, wherever it will be.
    len: i64,
}

impl Piece {
    /// From `read` or `write`, and decimal numbers.
    pub fn parse(kind: &str, start: &str, len: &str) -> Self {
        Self { exclusive: kind == "write", start: start.parse().unwrap(), len: len.parse().unwrap() }
    }
}

/// Waits for the lock, makes the file `held`, and keeps the lock until a file `release` is there.
pub fn hold(file: &Path, piece: Piece, held: &Path, release: &Path) {
    let file = open(file);
    command(&file, libc::F_SETLKW, piece).unwrap();
    File::create(held).unwrap();
    while !release.exists() {
        pause();
    }
    fs::remove_file(held).unwrap();
}

/// Takes the lock and gives it back, or ends with status 1 if it is somebody else's.
pub fn probe(file: &Path, piece: Piece) {
    let file = open(file);
    match command(&file, libc::F_SETLK, piece) {
        Ok(_) => println!("granted"),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            // F_GETLK says who is in the way.
            let other = command(&file, libc::F_GETLK, piece).unwrap();
            println!("denied: {} {}", other.l_start, other.l_len);
            exit(1);
        }
        Err(error) => panic!("{error}"),
    }
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[allow(unsafe_code, reason = "the standard library and rustix lock files as a whole alone")]
fn command(file: &File, command: i32, piece: Piece) -> io::Result<libc::flock> {
    let kind = if piece.exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    let mut lock = libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: piece.start,
        l_len: piece.len,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open and `lock` is a whole `flock`, as these three commands take it.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) } {
        0 => Ok(lock),
        _ => Err(io::Error::last_os_error()),
    }
}

#[allow(clippy::disallowed_methods, reason = "the test's end is a file; its patience bounds the wait")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}
