//! A raw ONC RPC connection over TCP (RFC 5531): one blocking socket, transaction ids of the caller's choice, so that
//! a test can repeat a call to the letter, keep many in flight, or send what no client would.

use std::io::{self, Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nfs3_types::nfs3;
use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, auth_unix, call_body, msg_body, opaque_auth, reply_body, rpc_msg,
};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};

/// No reply of these tests is longer.
const REPLY_BYTES_MAX: usize = 8 << 20;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Credential {
    /// User 0.
    pub fn root() -> Self {
        Self { uid: 0, gid: 0, groups: Vec::new() }
    }

    /// A plain user with a group of the same number.
    pub fn user(uid: u32) -> Self {
        Self { uid, gid: uid, groups: Vec::new() }
    }

    /// The AUTH_SYS form.
    pub fn auth(&self) -> opaque_auth<'static> {
        opaque_auth::auth_unix(&auth_unix {
            stamp: 0,
            machinename: Opaque::borrowed(b"e2e"),
            uid: self.uid,
            gid: self.gid,
            gids: self.groups.clone(),
        })
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    credential: opaque_auth<'static>,
}

impl Connection {
    /// Connects; every later read and write fails after `timeout`.
    pub fn open(server: SocketAddr, credential: &Credential, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream, credential: credential.auth() })
    }

    /// The socket itself, for sending what is no call.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// A whole call record, mark included.
    pub fn record(&self, xid: u32, program: u32, version: u32, procedure: u32, args: &impl Pack) -> Vec<u8> {
        let call = rpc_msg {
            xid,
            body: msg_body::CALL(call_body {
                rpcvers: RPC_VERSION_2,
                prog: program,
                vers: version,
                proc: procedure,
                cred: self.credential.borrow(),
                verf: opaque_auth::default(),
            }),
        };
        let mut record = vec![0; 4];
        call.pack(&mut record).unwrap();
        args.pack(&mut record).unwrap();
        let mark = 0x8000_0000 | u32::try_from(record.len() - 4).unwrap();
        record[..4].copy_from_slice(&mark.to_be_bytes());
        record
    }

    /// Sends an NFSv3 call.
    pub fn send(&mut self, xid: u32, procedure: nfs3::NFS_PROGRAM, args: &impl Pack) -> io::Result<()> {
        let record = self.record(xid, nfs3::PROGRAM, nfs3::VERSION, procedure as u32, args);
        self.stream.write_all(&record)
    }

    /// Receives the next reply, whichever it answers: its transaction id and the bytes of its result.
    pub fn receive(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark)?;
        let mark = u32::from_be_bytes(mark);
        let len = (mark & 0x7fff_ffff) as usize;
        if mark & 0x8000_0000 == 0 || len > REPLY_BYTES_MAX {
            return Err(io::Error::other(format!("unexpected record mark {mark:#x}")));
        }
        let mut record = vec![0; len];
        self.stream.read_exact(&mut record)?;
        let mut cursor = Cursor::new(&record);
        let (message, header_len) = rpc_msg::unpack(&mut cursor).map_err(io::Error::other)?;
        match message.body {
            msg_body::REPLY(reply_body::MSG_ACCEPTED(reply))
                if matches!(reply.reply_data, accept_stat_data::SUCCESS) =>
            {
                Ok((message.xid, record.split_off(header_len)))
            }
            other => Err(io::Error::other(format!("call refused: {other:?}"))),
        }
    }

    /// One call of any program and its reply, on a connection with nothing else in flight.
    pub fn call_program<R: Unpack>(
        &mut self,
        program: u32,
        version: u32,
        procedure: u32,
        args: &impl Pack,
    ) -> io::Result<R> {
        let record = self.record(1, program, version, procedure, args);
        self.stream.write_all(&record)?;
        unpack(&self.receive()?.1)
    }

    /// One NFSv3 call and its reply. Replies to other calls are skipped.
    pub fn call<R: Unpack>(
        &mut self,
        xid: u32,
        procedure: nfs3::NFS_PROGRAM,
        args: &impl Pack,
    ) -> io::Result<R> {
        self.send(xid, procedure, args)?;
        loop {
            let (got, result) = self.receive()?;
            if got == xid {
                return unpack(&result);
            }
        }
    }
}

/// Decodes a whole result.
pub fn unpack<R: Unpack>(result: &[u8]) -> io::Result<R> {
    let mut cursor = Cursor::new(result);
    let (value, _) = R::unpack(&mut cursor).map_err(io::Error::other)?;
    if cursor.position() != result.len() as u64 {
        let rest = result.len() as u64 - cursor.position();
        return Err(io::Error::other(format!("{rest} bytes behind the result")));
    }
    Ok(value)
}
