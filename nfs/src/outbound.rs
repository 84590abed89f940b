//! Calls this server makes itself: to a program of a client, whose port the client's rpcbind tells.
//!
//! Each is tried once and bounded in time; when to try again is for those who want it. A program is called by TCP
//! where it is registered, else by UDP: over TCP nothing is said twice without anybody's knowing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use crate::record::{MARK_BYTES, mark};
use crate::rpc;
use crate::rpcbind::{self, Transport};
use crate::xdr::{Decoder, Encoder};

/// Longest wait for a connection, or for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Longest wait for an answer of rpcbind by UDP, which is asked twice before TCP is tried.
const LOOKUP_WAIT: Duration = Duration::from_millis(700);
/// No answer to these calls is longer.
const ANSWER_BYTES_MAX: usize = 4096;

/// Where a client is, and from where it expects to be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client.
    pub address: IpAddr,
    /// The address by which it knows this server.
    pub local: IpAddr,
    /// Port of its rpcbind.
    pub rpcbind_port: u16,
}

/// What is called there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Procedure {
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
}

/// Why there is no answer. Another try may have one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The client cannot be reached, or does not answer in time.
    #[error("no answer: {0}")]
    NoAnswer(#[from] io::Error),
    /// Not even its rpcbind says anything.
    #[error("its rpcbind does not answer: {0}")]
    NotFound(io::Error),
    /// It can, but nobody there has registered the program.
    #[error("its rpcbind does not know the program")]
    NotRegistered,
    /// It answered, but not with results.
    #[error("it refuses the call")]
    Refused,
}

impl CallError {
    /// Whether the procedure cannot have been called.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::NotRegistered)
    }
}

/// Calls a procedure and gives its results.
///
/// # Errors
/// See [`CallError`].
pub(crate) async fn call(
    peer: &Peer,
    xid: u32,
    procedure: Procedure,
    args: &[u8],
) -> Result<Vec<u8>, CallError> {
    let mut record = Encoder::new();
    let Procedure { program, version, procedure: number } = procedure;
    rpc::encode_call(&mut record, xid, program, version, number);
    record.raw(args);
    let record = record.into_bytes();
    for transport in [Transport::Tcp, Transport::Udp] {
        let Some(port) = port_of(peer, xid, procedure, transport).await? else { continue };
        let to = SocketAddr::new(peer.address, port);
        match exchange(peer.local, to, transport, &record, ANSWER_WAIT).await {
            // Nothing was sent: nobody listens there, or a filter is between.
            Err(Exchange::NotConnected(error)) => tracing::debug!(%to, %error, "not reached by TCP"),
            Err(Exchange::Failed(error)) => return Err(error.into()),
            Ok(answer) => return results(&answer, xid),
        }
    }
    Err(CallError::NotRegistered)
}

fn results(answer: &[u8], xid: u32) -> Result<Vec<u8>, CallError> {
    let mut decoder = Decoder::new(answer);
    rpc::decode_success(&mut decoder, xid).map_err(|_| CallError::Refused)?;
    Ok(decoder.rest().to_vec())
}

/// Asks the client's rpcbind for a port (RFC 1833 §3, GETPORT); `None` if the program is not registered.
async fn port_of(
    peer: &Peer,
    xid: u32,
    wanted: Procedure,
    transport: Transport,
) -> Result<Option<u16>, CallError> {
    let mut record = Encoder::new();
    rpc::encode_call(&mut record, xid, rpcbind::PROGRAM, rpcbind::PORT_MAPPER, rpcbind::GETPORT);
    record.u32s([wanted.program, wanted.version, transport.protocol(), 0]);
    let record = record.into_bytes();
    let to = SocketAddr::new(peer.address, peer.rpcbind_port);
    let mut error = io::Error::from(io::ErrorKind::TimedOut);
    for (by, wait) in
        [(Transport::Udp, LOOKUP_WAIT), (Transport::Udp, LOOKUP_WAIT), (Transport::Tcp, ANSWER_WAIT)]
    {
        match exchange(peer.local, to, by, &record, wait).await {
            Ok(answer) => {
                let port = Decoder::new(&results(&answer, xid)?).u32().map_err(|_| CallError::Refused)?;
                return Ok(u16::try_from(port).ok().filter(|port| *port != 0));
            }
            Err(Exchange::NotConnected(failed) | Exchange::Failed(failed)) => error = failed,
        }
    }
    Err(CallError::NotFound(error))
}

/// Why there is no answer.
enum Exchange {
    /// Nothing was sent.
    NotConnected(io::Error),
    /// The call may have been carried out.
    Failed(io::Error),
}

impl From<io::Error> for Exchange {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Sends one record and waits for one back.
async fn exchange(
    local: IpAddr,
    to: SocketAddr,
    transport: Transport,
    record: &[u8],
    wait: Duration,
) -> Result<Vec<u8>, Exchange> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    match transport {
        Transport::Udp => timeout(wait, by_udp(local, to, record)).await.map_err(late)?.map_err(Into::into),
        Transport::Tcp => {
            let connected = timeout(wait, connect(local, to)).await.map_err(late).and_then(|done| done);
            let stream = connected.map_err(Exchange::NotConnected)?;
            timeout(wait, by_tcp(stream, record)).await.map_err(late)?.map_err(Into::into)
        }
    }
}

async fn by_udp(local: IpAddr, to: SocketAddr, record: &[u8]) -> io::Result<Vec<u8>> {
    let socket = match UdpSocket::bind((local, 0)).await {
        Ok(socket) => socket,
        // The address by which the client knows this server is another machine's now.
        Err(_) => UdpSocket::bind((any(to.ip()), 0)).await?,
    };
    socket.connect(to).await?;
    socket.send(record).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let len = socket.recv(&mut answer).await?;
        // Only the answer to this call; the transaction id comes first in both.
        if answer[..len].first_chunk::<4>() == record.first_chunk::<4>() {
            answer.truncate(len);
            return Ok(answer);
        }
    }
}

async fn connect(local: IpAddr, to: SocketAddr) -> io::Result<tokio::net::TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if socket.bind(SocketAddr::new(local, 0)).is_err() {
        socket.bind(SocketAddr::new(any(to.ip()), 0))?;
    }
    socket.connect(to).await
}

async fn by_tcp(mut stream: tokio::net::TcpStream, record: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(&[&mark(record.len())[..], record].concat()).await?;
    let mut mark = [0; MARK_BYTES];
    stream.read_exact(&mut mark).await?;
    // Such a short answer comes in one fragment.
    let len = (u32::from_be_bytes(mark) & (u32::MAX >> 1)) as usize;
    if len > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// Any address of this machine, of the family of the other's: for a socket that goes there.
pub(crate) const fn any(other: IpAddr) -> IpAddr {
    match other {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
