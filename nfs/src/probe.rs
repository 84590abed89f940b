//! Asking a running NFS service whether it answers: a NULL and a GETATTR over one connection that stays.
//!
//! For who judges a service from outside. An answer that says "not now" is an answer: the service lives. Bounded in
//! bytes; how long to wait is for the caller, who drops the question.

use std::io;
use std::net::SocketAddr;

use nfsserve::nfs::nfsstat3;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::filesystem::Handle;
use crate::record::{MARK_BYTES, mark};
use crate::rpc;
use crate::v3::{PROGRAM, VERSION, procedure};
use crate::xdr::{Decoder, Encoder};

/// No answer to the calls of a probe is longer.
const ANSWER_BYTES_MAX: usize = 1024;

/// Why the service counts as dead.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or it ended: try again.
    #[error("no answer: {0}")]
    NoAnswer(#[from] io::Error),
    /// What came is no reply to the call: that is no NFS service.
    #[error("the answer is none of NFS version 3")]
    NotNfs,
    /// It answers that it cannot even say what its root folder is.
    #[error("GETATTR of the root folder gives NFS error {0}")]
    Broken(u32),
}

/// A service, and the connection to it if there is one.
#[derive(Debug)]
pub struct Probe {
    address: SocketAddr,
    root: Handle,
    connection: Option<TcpStream>,
    xid: u32,
}

impl Probe {
    /// Of the service at `address`, which has a folder with this handle. Connects with the first question.
    pub const fn new(address: SocketAddr, root: Handle) -> Self {
        Self { address, root, connection: None, xid: 0 }
    }

    /// Asks, and waits for both answers. A question that fails or is dropped ends the connection; the next one makes
    /// another. So does one that finds the connection closed since the last, for a service may close what is idle.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn ask(&mut self) -> Result<(), ProbeError> {
        if let Some(connection) = self.connection.take() {
            match self.ask_over(connection).await {
                Err(ProbeError::NoAnswer(_)) => {}
                answer => return answer,
            }
        }
        let connection = TcpStream::connect(self.address).await?;
        connection.set_nodelay(true)?;
        self.ask_over(connection).await
    }

    async fn ask_over(&mut self, mut connection: TcpStream) -> Result<(), ProbeError> {
        self.xid = self.xid.wrapping_add(2);
        let (null, getattr) = (self.xid, self.xid.wrapping_add(1));
        let calls = [call(null, procedure::NULL, None), call(getattr, procedure::GETATTR, Some(&self.root))];
        connection.write_all(&calls.concat()).await?;
        let mut pending = vec![null, getattr];
        while !pending.is_empty() {
            let answer = read_record(&mut connection).await?.ok_or(ProbeError::NotNfs)?;
            // A service may answer in any order.
            let xid = Decoder::new(&answer).u32().map_err(|_| ProbeError::NotNfs)?;
            let place = pending.iter().position(|waiting| *waiting == xid).ok_or(ProbeError::NotNfs)?;
            pending.remove(place);
            let mut decoder = Decoder::new(&answer);
            rpc::decode_success(&mut decoder, xid).map_err(|_| ProbeError::NotNfs)?;
            if xid == getattr {
                check(decoder.u32().map_err(|_| ProbeError::NotNfs)?)?;
            }
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// A passive port and one without its center say "not now"; one that lets nobody in from here has looked, too.
fn check(status: u32) -> Result<(), ProbeError> {
    let alive = [nfsstat3::NFS3_OK, nfsstat3::NFS3ERR_JUKEBOX, nfsstat3::NFS3ERR_ACCES];
    if alive.iter().any(|good| *good as u32 == status) { Ok(()) } else { Err(ProbeError::Broken(status)) }
}

fn call(xid: u32, procedure: u32, root: Option<&Handle>) -> Vec<u8> {
    let mut record = Encoder::new();
    rpc::encode_call(&mut record, xid, PROGRAM, VERSION, procedure);
    if let Some(root) = root {
        record.opaque(root.as_bytes());
    }
    let record = record.into_bytes();
    [&mark(record.len())[..], &record].concat()
}

/// One short answer; `None` for what is longer, or in pieces.
pub(crate) async fn read_record(connection: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0; MARK_BYTES];
    connection.read_exact(&mut head).await?;
    // Such a short answer comes in one fragment.
    let len = (u32::from_be_bytes(head) & (u32::MAX >> 1)) as usize;
    if len > ANSWER_BYTES_MAX {
        return Ok(None);
    }
    let mut answer = vec![0; len];
    connection.read_exact(&mut answer).await?;
    Ok(Some(answer))
}
