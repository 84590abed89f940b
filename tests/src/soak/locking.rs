//! Locks by NLM version 4, as far as the soak needs them: one taken, and given back.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::xdr_codec::{Opaque, Pack};

use crate::rpc::{Connection, Credential};

const PROGRAM: u32 = 100_021;
const VERSION: u32 = 4;
const LOCK: u32 = 2;
const UNLOCK: u32 = 4;
const GRANTED: u32 = 0;
const TIMEOUT: Duration = Duration::from_secs(20);

/// Takes an exclusive lock on a range for process `svid`, and gives it back.
///
/// # Errors
/// Either was not granted.
pub fn lock_and_unlock(server: SocketAddr, file: &nfs_fh3, svid: u32, offset: u64) -> io::Result<()> {
    let mut connection = Connection::open(server, &Credential::root(), TIMEOUT)?;
    let lock = |out: &mut Vec<u8>| -> io::Result<()> {
        opaque(out, b"soak")?;
        opaque(out, &file.data)?;
        opaque(out, format!("{svid}@soak").as_bytes())?;
        pack(out, &svid)?;
        pack(out, &offset)?;
        pack(out, &10u64)
    };
    let mut taken = Vec::new();
    opaque(&mut taken, b"take")?;
    // No waiting; exclusive.
    [0u32, 1].iter().try_for_each(|word| pack(&mut taken, word))?;
    lock(&mut taken)?;
    // Not from before a restart; the client's state.
    [0u32, 1].iter().try_for_each(|word| pack(&mut taken, word))?;
    let mut given_back = Vec::new();
    opaque(&mut given_back, b"give")?;
    lock(&mut given_back)?;
    for (procedure, arguments) in [(LOCK, taken), (UNLOCK, given_back)] {
        let mut record = connection.record(svid, PROGRAM, VERSION, procedure, &nfs3_types::xdr_codec::Void);
        record.extend_from_slice(&arguments);
        let mark = 0x8000_0000 | u32::try_from(record.len() - 4).unwrap();
        record[..4].copy_from_slice(&mark.to_be_bytes());
        connection.stream().write_all(&record)?;
        let (_, result) = connection.receive()?;
        // The cookie, and what became of it.
        if result.last_chunk() != Some(&GRANTED.to_be_bytes()) {
            return Err(io::Error::other(format!("NLM procedure {procedure}: {result:02x?}")));
        }
    }
    Ok(())
}

fn pack(out: &mut Vec<u8>, value: &impl Pack) -> io::Result<()> {
    value.pack(out).map(drop).map_err(io::Error::other)
}

fn opaque(out: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    pack(out, &Opaque::borrowed(bytes))
}
