//! Remote procedure calls, version 2 (RFC 5531): the header of a call, its credential, and the headers of replies.
//!
//! Knows no program. Record marks are [`record`](crate::record)'s matter.

use crate::filesystem::Groups;
use crate::xdr::{Decoder, Encoder, XdrError, XdrResult};

/// The only version of the protocol (RFC 5531 §9).
const RPC_VERSION: u32 = 2;
/// Longest body of a credential or verifier (RFC 5531 §8.2).
const AUTH_BYTES_MAX: usize = 400;
/// Longest machine name of AUTH_SYS (RFC 5531 appendix A).
const MACHINE_NAME_BYTES_MAX: usize = 255;
/// User and group of a caller who did not say.
pub const NOBODY: u32 = 65534;

/// Flavour numbers (RFC 5531 §8.2).
pub mod flavour {
    /// No identity.
    pub const NONE: u32 = 0;
    /// User and group ids, as the client says.
    pub const SYS: u32 = 1;
    /// Shorthand for an earlier AUTH_SYS credential; this server never gives one out.
    pub const SHORT: u32 = 2;
}

/// Message types and reply states (RFC 5531 §9).
mod wire {
    pub const CALL: u32 = 0;
    pub const REPLY: u32 = 1;
    pub const ACCEPTED: u32 = 0;
    pub const DENIED: u32 = 1;
    pub const SUCCESS: u32 = 0;
    pub const PROG_UNAVAIL: u32 = 1;
    pub const PROG_MISMATCH: u32 = 2;
    pub const PROC_UNAVAIL: u32 = 3;
    pub const GARBAGE_ARGS: u32 = 4;
    pub const RPC_MISMATCH: u32 = 0;
    pub const AUTH_ERROR: u32 = 1;
}

/// A credential or verifier that says nothing.
const EMPTY_AUTH: [u32; 2] = [flavour::NONE, 0];

/// Who calls, as the credential says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Groups,
}

/// A call whose header was understood. The arguments follow in the decoder it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The client's number for this call; its reply carries it back.
    pub xid: u32,
    /// Program, version and procedure asked for.
    pub program: u32,
    /// Version of the program.
    pub version: u32,
    /// Procedure of that version.
    pub procedure: u32,
    /// Who calls.
    pub credential: Credential,
}

/// Why authentication failed (RFC 5531 §9, `auth_stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthStat {
    /// A credential that cannot be read, or of a flavour not spoken here.
    BadCredential = 1,
    /// A shorthand this server never gave out: the client must begin anew.
    RejectedCredential = 2,
    /// A verifier that cannot be read.
    BadVerifier = 3,
}

/// Why a call is not carried out although its transaction id is known: what the reply says instead of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such program here.
    ProgramUnavailable,
    /// The program is here in these versions only.
    ProgramMismatch {
        /// Lowest version.
        low: u32,
        /// Highest version.
        high: u32,
    },
    /// The program has no such procedure.
    ProcedureUnavailable,
    /// The arguments cannot be read.
    GarbageArguments,
    /// Another version of RPC itself.
    RpcMismatch,
    /// Authentication failed.
    Auth(AuthStat),
}

impl From<XdrError> for Refusal {
    fn from(_: XdrError) -> Self {
        Self::GarbageArguments
    }
}

/// A header that is no call this server can carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCall {
    /// Nothing to answer: not even the start of a call.
    NoCall,
    /// To be answered with this refusal.
    Refused {
        /// Transaction id of the call.
        xid: u32,
        /// What to answer.
        refusal: Refusal,
    },
}

/// Reads the header of a call and leaves the decoder at the arguments.
pub fn decode_call(decoder: &mut Decoder<'_>) -> Result<Call, BadCall> {
    let (Ok(xid), Ok(wire::CALL)) = (decoder.u32(), decoder.u32()) else {
        return Err(BadCall::NoCall);
    };
    decode_body(xid, decoder).map_err(|refusal| BadCall::Refused { xid, refusal })
}

fn decode_body(xid: u32, decoder: &mut Decoder<'_>) -> Result<Call, Refusal> {
    if decoder.u32()? != RPC_VERSION {
        return Err(Refusal::RpcMismatch);
    }
    let (program, version, procedure) = (decoder.u32()?, decoder.u32()?, decoder.u32()?);
    let flavour = decoder.u32().map_err(|_| Refusal::Auth(AuthStat::BadCredential))?;
    let body = decoder.opaque(AUTH_BYTES_MAX).map_err(|_| Refusal::Auth(AuthStat::BadCredential))?;
    let credential = decode_credential(flavour, body).map_err(Refusal::Auth)?;
    // AUTH_SYS proves nothing, so its verifier carries nothing: read past, whatever it says.
    let verifier = decoder.u32().and_then(|_| decoder.opaque(AUTH_BYTES_MAX));
    verifier.map_err(|_| Refusal::Auth(AuthStat::BadVerifier))?;
    Ok(Call { xid, program, version, procedure, credential })
}

fn decode_credential(flavour: u32, body: &[u8]) -> Result<Credential, AuthStat> {
    match flavour {
        flavour::NONE => Ok(Credential { uid: NOBODY, gid: NOBODY, groups: Groups::default() }),
        flavour::SYS => decode_sys(body).map_err(|_| AuthStat::BadCredential),
        flavour::SHORT => Err(AuthStat::RejectedCredential),
        _ => Err(AuthStat::BadCredential),
    }
}

fn decode_sys(body: &[u8]) -> XdrResult<Credential> {
    let mut decoder = Decoder::new(body);
    let _stamp = decoder.u32()?;
    let _machine = decoder.opaque(MACHINE_NAME_BYTES_MAX)?;
    let (uid, gid) = (decoder.u32()?, decoder.u32()?);
    let mut groups = Groups::default();
    for _ in 0..decoder.u32()? {
        if !groups.push(decoder.u32()?) {
            return Err(XdrError::TooLong);
        }
    }
    decoder.end()?;
    Ok(Credential { uid, gid, groups })
}

/// Starts the reply to a call that is carried out: the results follow.
pub fn encode_success(encoder: &mut Encoder, xid: u32) {
    encode_accepted(encoder, xid, wire::SUCCESS);
}

/// The whole reply to a call that is not carried out.
pub fn encode_refusal(encoder: &mut Encoder, xid: u32, refusal: Refusal) {
    match refusal {
        Refusal::ProgramUnavailable => encode_accepted(encoder, xid, wire::PROG_UNAVAIL),
        Refusal::ProgramMismatch { low, high } => {
            encode_accepted(encoder, xid, wire::PROG_MISMATCH);
            encoder.u32(low);
            encoder.u32(high);
        }
        Refusal::ProcedureUnavailable => encode_accepted(encoder, xid, wire::PROC_UNAVAIL),
        Refusal::GarbageArguments => encode_accepted(encoder, xid, wire::GARBAGE_ARGS),
        Refusal::RpcMismatch => {
            encoder.u32s([xid, wire::REPLY, wire::DENIED, wire::RPC_MISMATCH, RPC_VERSION, RPC_VERSION]);
        }
        Refusal::Auth(stat) => {
            encoder.u32s([xid, wire::REPLY, wire::DENIED, wire::AUTH_ERROR, stat as u32]);
        }
    }
}

fn encode_accepted(encoder: &mut Encoder, xid: u32, state: u32) {
    encoder.u32s([xid, wire::REPLY, wire::ACCEPTED]);
    encoder.u32s(EMPTY_AUTH);
    encoder.u32(state);
}

/// Encodes a call, for the one this server makes itself: to a running rpcbind.
pub fn encode_call(encoder: &mut Encoder, xid: u32, program: u32, version: u32, procedure: u32) {
    encoder.u32s([xid, wire::CALL, RPC_VERSION, program, version, procedure]);
    let (credential, verifier) = (EMPTY_AUTH, EMPTY_AUTH);
    encoder.u32s(credential);
    encoder.u32s(verifier);
}

/// Reads the header of the reply to call `xid` and leaves the decoder at the results; `BadValue` unless it succeeded.
pub fn decode_success(decoder: &mut Decoder<'_>, xid: u32) -> XdrResult<()> {
    let head = [decoder.u32()?, decoder.u32()?, decoder.u32()?];
    let _verifier = (decoder.u32()?, decoder.opaque(AUTH_BYTES_MAX)?);
    let state = decoder.u32()?;
    if head == [xid, wire::REPLY, wire::ACCEPTED] && state == wire::SUCCESS {
        Ok(())
    } else {
        Err(XdrError::BadValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Result<Call, BadCall> {
        decode_call(&mut Decoder::new(bytes))
    }

    fn refusal(refusal: Refusal) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encode_refusal(&mut encoder, 9, refusal);
        encoder.into_bytes()
    }

    #[test]
    fn a_call_with_auth_sys_tells_user_and_groups() {
        // stamp, machine "ab", uid 1000, gid 100, groups 4 and 20
        let credential = words(&[5, 2, u32::from_be_bytes(*b"ab\0\0"), 1000, 100, 2, 4, 20]);
        let mut bytes = words(&[9, 0, 2, 100_003, 3, 1, flavour::SYS, credential.len() as u32]);
        bytes.extend_from_slice(&credential);
        bytes.extend_from_slice(&words(&[flavour::NONE, 0, 77]));
        let mut decoder = Decoder::new(&bytes);
        let call = decode_call(&mut decoder).unwrap();
        let credential = Credential { uid: 1000, gid: 100, groups: [4, 20].into_iter().collect() };
        assert_eq!(call, Call { xid: 9, program: 100_003, version: 3, procedure: 1, credential });
        assert_eq!(decoder.u32(), Ok(77), "the decoder stands at the arguments");
    }

    #[test]
    fn auth_none_is_nobody() {
        let call = decode(&words(&[9, 0, 2, 100_003, 3, 0, flavour::NONE, 0, flavour::NONE, 0])).unwrap();
        assert_eq!(call.credential, Credential { uid: NOBODY, gid: NOBODY, groups: Groups::default() });
    }

    #[test]
    fn what_is_no_call_is_not_answered() {
        assert_eq!(decode(&[]), Err(BadCall::NoCall));
        assert_eq!(decode(&words(&[9])), Err(BadCall::NoCall));
        assert_eq!(decode(&words(&[9, 1, 0])), Err(BadCall::NoCall), "a reply");
    }

    #[test]
    fn headers_that_cannot_be_served_are_refused_with_the_reason() {
        let refused = |refusal| Err(BadCall::Refused { xid: 9, refusal });
        let auth = |stat| refused(Refusal::Auth(stat));
        assert_eq!(decode(&words(&[9, 0, 3])), refused(Refusal::RpcMismatch));
        assert_eq!(decode(&words(&[9, 0, 2, 100_003])), refused(Refusal::GarbageArguments));
        let gss = words(&[9, 0, 2, 100_003, 3, 1, 6, 0, 0, 0]);
        assert_eq!(decode(&gss), auth(AuthStat::BadCredential));
        let short = words(&[9, 0, 2, 100_003, 3, 1, flavour::SHORT, 0, 0, 0]);
        assert_eq!(decode(&short), auth(AuthStat::RejectedCredential));
        let too_many_groups = words(&[9, 0, 2, 100_003, 3, 1, flavour::SYS, 20, 0, 0, 0, 0, 17, 0, 0]);
        assert_eq!(decode(&too_many_groups), auth(AuthStat::BadCredential));
        let claims_4_gib = words(&[9, 0, 2, 100_003, 3, 1, flavour::SYS, u32::MAX]);
        assert_eq!(decode(&claims_4_gib), auth(AuthStat::BadCredential));
        let verifier = words(&[9, 0, 2, 100_003, 3, 1, flavour::NONE, 0, 0, 500]);
        assert_eq!(decode(&verifier), auth(AuthStat::BadVerifier));
    }

    #[test]
    fn refusals_have_the_bytes_of_rfc_5531() {
        assert_eq!(refusal(Refusal::ProgramUnavailable), words(&[9, 1, 0, 0, 0, 1]));
        assert_eq!(refusal(Refusal::ProgramMismatch { low: 1, high: 3 }), words(&[9, 1, 0, 0, 0, 2, 1, 3]));
        assert_eq!(refusal(Refusal::ProcedureUnavailable), words(&[9, 1, 0, 0, 0, 3]));
        assert_eq!(refusal(Refusal::GarbageArguments), words(&[9, 1, 0, 0, 0, 4]));
        assert_eq!(refusal(Refusal::RpcMismatch), words(&[9, 1, 1, 0, 2, 2]));
        assert_eq!(refusal(Refusal::Auth(AuthStat::BadCredential)), words(&[9, 1, 1, 1, 1]));
    }

    #[test]
    fn a_reply_of_success_is_read_back() {
        let mut encoder = Encoder::new();
        encode_success(&mut encoder, 9);
        encoder.u32(1);
        let bytes = encoder.into_bytes();
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decode_success(&mut decoder, 9), Ok(()));
        assert_eq!(decoder.u32(), Ok(1));
        assert_eq!(decode_success(&mut Decoder::new(&bytes), 8), Err(XdrError::BadValue));
    }
}
