//! How the port has the keeper do what it may not do itself.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::conf::Places;

/// How long the keeper may take for an order.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer.
const ANSWER_BYTES: usize = 1_024;

/// Why an order was not obeyed. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The keeper itself.
    #[error("the process that keeps Samba does not answer: {0}; see the log, and start the port anew")]
    Keeper(#[from] io::Error),
    /// A mount.
    #[error("cannot mount {path} for Samba: {error}; the port must run as root, with /dev/fuse")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        error: String,
    },
    /// Samba.
    #[error("cannot start smbd: {0}; install Debian's samba and libnss-wrapper")]
    Start(String),
}

/// The keeper. It ends with this, and Samba and all mounts with it.
#[derive(Debug)]
pub struct Kept {
    places: Places,
    socket: Mutex<UnixStream>,
}

impl Kept {
    /// Starts the keeper: this very program with `arguments`, which shall come to [`keeper::run`](crate::keeper::run).
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(places: Places, arguments: &[&std::ffi::OsStr]) -> io::Result<Self> {
        let (own, its) = UnixStream::pair()?;
        Command::new("/proc/self/exe")
            .arg0("storage-port")
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::null())
            // A terminal's signals are for the port.
            .process_group(0)
            .spawn()?;
        Self::over(places, own)
    }

    /// A keeper that has been started, at the other end of the socket.
    ///
    /// # Errors
    /// It is no socket.
    pub fn over(places: Places, socket: UnixStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { places, socket: Mutex::new(socket) })
    }

    /// Where everything of Samba's lies.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Mounts there: the descriptor of `/dev/fuse` on which to answer. Waits, so not for asynchronous code.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn mount(&self, path: &Path) -> Result<OwnedFd, KeptError> {
        let (said, device) = self.order(&format!("mount {}", path.display()))?;
        device.ok_or_else(|| KeptError::Mount { path: path.to_owned(), error: said })
    }

    /// Starts Samba, with the files at [`places`](Self::places). Waits, so not for asynchronous code.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn start(&self) -> Result<(), KeptError> {
        let (said, _) = self.order("start")?;
        if said == "ok" { Ok(()) } else { Err(KeptError::Start(said)) }
    }

    /// Kills Samba, and does not wait for it; what is ordered next is done after that.
    ///
    /// # Errors
    /// The keeper is gone.
    pub fn stop(&self) -> io::Result<()> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).write_all(b"stop\n")
    }

    /// What was answered, without `no` before it, and the descriptor that came with it.
    fn order(&self, order: &str) -> io::Result<(String, Option<OwnedFd>)> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(format!("{order}\n").as_bytes())?;
        let (mut said, mut device) = (Vec::new(), None);
        while !said.ends_with(b"\n") {
            let mut bytes = [0; ANSWER_BYTES];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let got = recvmsg(socket.as_fd(), &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
            if got == 0 || said.len() > ANSWER_BYTES {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    device = descriptors.last().or(device);
                }
            }
            said.extend_from_slice(&bytes[..got]);
        }
        let said = String::from_utf8_lossy(&said);
        Ok((said.trim_end().trim_start_matches("no ").to_owned(), device))
    }
}
