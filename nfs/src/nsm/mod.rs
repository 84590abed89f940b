//! The status monitor, NSM version 1 (X/Open XNFS, chapter 15): who has restarted.
//!
//! It serves this server's lock manager alone. A client that restarted says so by NOTIFY, and its locks go. Nobody can
//! have this monitor watch others (MON): a lock manager of the same machine has a monitor of its own, and to watch for
//! strangers would make this server call whom they name.

pub mod ledger;
pub(crate) mod notifier;

use std::net::IpAddr;

use crate::nlm::service::Locks;
use crate::rpc::Refusal;
use crate::xdr::{Decoder, Encoder, XdrResult};

/// Program number of NSM.
pub const PROGRAM: u32 = 100_024;
/// The version served.
pub const VERSION: u32 = 1;

/// Procedure numbers.
mod procedure {
    pub const NULL: u32 = 0;
    pub const STAT: u32 = 1;
    pub const MON: u32 = 2;
    pub const UNMON: u32 = 3;
    pub const UNMON_ALL: u32 = 4;
    pub const SIMU_CRASH: u32 = 5;
    pub const NOTIFY: u32 = 6;
}

/// `stat_fail`: this monitor does not watch the host asked about.
const FAIL: u32 = 1;
/// Bytes of the private data of MON.
const PRIVATE_BYTES: usize = 16;

/// Carries out one call: reads `args` and appends the results to `out`.
///
/// # Errors
/// The arguments cannot be read, or there is no such procedure; `out` is to be thrown away.
pub(crate) fn call(
    locks: &Locks,
    peer: IpAddr,
    procedure: u32,
    args: &mut Decoder<'_>,
    out: &mut Encoder,
) -> Result<(), Refusal> {
    match procedure {
        // A crash is simulated by forgetting whom to tell of it: here nobody.
        procedure::NULL | procedure::SIMU_CRASH => {}
        procedure::STAT => {
            decode_name(args)?;
            args.end()?;
            out.u32s([FAIL, locks.state()]);
        }
        procedure::MON => {
            decode_name(args)?;
            decode_id(args)?;
            args.array::<PRIVATE_BYTES>()?;
            args.end()?;
            out.u32s([FAIL, locks.state()]);
        }
        procedure::UNMON => {
            decode_name(args)?;
            decode_id(args)?;
            args.end()?;
            out.u32(locks.state());
        }
        procedure::UNMON_ALL => {
            decode_id(args)?;
            args.end()?;
            out.u32(locks.state());
        }
        procedure::NOTIFY => {
            let (name, state) = (decode_name(args)?, args.u32()?);
            args.end()?;
            locks.change(|manager, now| manager.rebooted(peer, name, state, now));
        }
        _ => return Err(Refusal::ProcedureUnavailable),
    }
    Ok(())
}

fn decode_name<'a>(args: &mut Decoder<'a>) -> XdrResult<&'a [u8]> {
    args.opaque(ledger::NAME_BYTES_MAX)
}

/// Whom the monitor would tell (`my_id`): a host, and the program, version and procedure to call there.
fn decode_id(args: &mut Decoder<'_>) -> XdrResult<()> {
    decode_name(args)?;
    args.array::<12>().map(drop)
}
