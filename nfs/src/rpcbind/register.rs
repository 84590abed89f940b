//! Tells a running rpcbind which ports the programs have, and to forget them at the end (RFC 1833 §3, version 2).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{PORT_MAPPER, PROGRAM, Registration, Table, procedure};
use crate::outbound::any;
use crate::rpc;
use crate::xdr::{Decoder, Encoder};

/// Longest wait for an answer; a UDP call is repeated once.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Ports from which rpcbind believes a caller to be privileged.
const PRIVILEGED_PORTS: std::ops::RangeInclusive<u16> = 600..=1023;

/// Why the registration did not come about.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// rpcbind does not answer.
    #[error("no answer: is rpcbind running there? ({0})")]
    NoAnswer(#[from] io::Error),
    /// rpcbind says no.
    #[error(
        "refused for program {program} version {version}: another server has it, or this one is not privileged"
    )]
    Refused {
        /// The program.
        program: u32,
        /// Its version.
        version: u32,
    },
}

/// Registers every line of the table, in place of what an earlier server left there.
///
/// # Errors
/// rpcbind does not answer or refuses a line. What was registered before the error stays: call [`unregister`].
pub async fn register(rpcbind: SocketAddr, table: &Table) -> Result<(), RegisterError> {
    let socket = connect(rpcbind).await?;
    unset_all(&socket, table).await?;
    for line in &table.0 {
        if !change(&socket, procedure::SET, line).await? {
            return Err(RegisterError::Refused { program: line.program, version: line.version });
        }
    }
    Ok(())
}

/// Makes rpcbind forget every line of the table.
///
/// # Errors
/// rpcbind does not answer; nothing is to be done about it.
pub async fn unregister(rpcbind: SocketAddr, table: &Table) -> io::Result<()> {
    unset_all(&connect(rpcbind).await?, table).await
}

/// UNSET takes away all transports of a version; that there was nothing to take away is no error.
async fn unset_all(socket: &UdpSocket, table: &Table) -> io::Result<()> {
    for line in &table.0 {
        change(socket, procedure::UNSET, line).await?;
    }
    Ok(())
}

async fn connect(rpcbind: SocketAddr) -> io::Result<UdpSocket> {
    let any = any(rpcbind.ip());
    let mut socket = None;
    for port in PRIVILEGED_PORTS.rev() {
        match UdpSocket::bind((any, port)).await {
            Ok(bound) => {
                socket = Some(bound);
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // Not privileged: rpcbind may have been told to take that, so ask from any port.
            Err(_) => break,
        }
    }
    let socket = match socket {
        Some(socket) => socket,
        None => UdpSocket::bind((any, 0)).await?,
    };
    socket.connect(rpcbind).await?;
    Ok(socket)
}

async fn change(socket: &UdpSocket, procedure: u32, line: &Registration) -> io::Result<bool> {
    // One call at a time on a socket of its own: any number will do, if each call has another.
    let xid = (procedure << 16) ^ (line.program << 8) ^ (line.version << 4) ^ line.transport.protocol();
    let mut call = Encoder::new();
    rpc::encode_call(&mut call, xid, PROGRAM, PORT_MAPPER, procedure);
    let port = u32::from(line.address.port());
    call.u32s([line.program, line.version, line.transport.protocol(), port]);
    let call = call.into_bytes();
    let mut error = io::Error::from(io::ErrorKind::TimedOut);
    for _ in 0..2 {
        socket.send(&call).await?;
        match timeout(ANSWER_WAIT, receive(socket, xid)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failed)) => error = failed,
            Err(_) => {}
        }
    }
    Err(error)
}

async fn receive(socket: &UdpSocket, xid: u32) -> io::Result<bool> {
    let mut buffer = [0; 512];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if let Some(answer) = decode_reply(&buffer[..len], xid) {
            return Ok(answer);
        }
    }
}

/// The answer in a reply to call `xid`.
pub(crate) fn decode_reply(datagram: &[u8], xid: u32) -> Option<bool> {
    let mut reply = Decoder::new(datagram);
    rpc::decode_success(&mut reply, xid).and_then(|()| reply.bool()).ok()
}
