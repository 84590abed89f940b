//! rpcbind (RFC 1833), versions 2 to 4: tells clients which ports the programs have.
//!
//! The table is made at the start and never changes: SET and UNSET are answered with "no", whoever asks. Calls on
//! behalf of others (CALLIT and its kin) are not carried out: they would make this server a reflector.

pub mod register;

use std::net::{IpAddr, SocketAddr};

use crate::dispatch::Origin;
use crate::rpc::Refusal;
use crate::xdr::{Decoder, Encoder, XdrResult};

/// Program number of rpcbind.
pub const PROGRAM: u32 = 100_000;
/// Lowest version served: the "port mapper".
pub const VERSION_MIN: u32 = 2;
/// Highest version served.
pub const VERSION_MAX: u32 = 4;
/// The version that speaks of port numbers instead of addresses.
pub(crate) const PORT_MAPPER: u32 = 2;
/// Its procedure that tells a port.
pub(crate) const GETPORT: u32 = procedure::GETADDR;
/// Longest text in an argument of versions 3 and 4.
const TEXT_BYTES_MAX: usize = 256;

/// Procedure numbers. Versions 3 and 4 share theirs up to 8.
mod procedure {
    pub const NULL: u32 = 0;
    pub const SET: u32 = 1;
    pub const UNSET: u32 = 2;
    /// GETPORT in version 2.
    pub const GETADDR: u32 = 3;
    pub const DUMP: u32 = 4;
    pub const GETTIME: u32 = 6;
    pub const GETVERSADDR: u32 = 9;
    pub const GETADDRLIST: u32 = 11;
}

/// Transport of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// The protocol number of version 2: that of IP.
    pub(crate) const fn protocol(self) -> u32 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The network id of versions 3 and 4.
    const fn netid(self, address: IpAddr) -> &'static str {
        match (self, address) {
            (Self::Tcp, IpAddr::V4(_)) => "tcp",
            (Self::Tcp, IpAddr::V6(_)) => "tcp6",
            (Self::Udp, IpAddr::V4(_)) => "udp",
            (Self::Udp, IpAddr::V6(_)) => "udp6",
        }
    }
}

/// One line of the table: a version of a program at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Program number.
    pub program: u32,
    /// Version of the program.
    pub version: u32,
    /// Transport.
    pub transport: Transport,
    /// Where it listens; an unspecified address stands for all of this machine's.
    pub address: SocketAddr,
}

/// All registrations.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Registration>);

impl Table {
    /// Carries out one call: reads `args` and appends the results to `out`.
    ///
    /// # Errors
    /// The arguments cannot be read, or there is no such procedure in this version; `out` is to be thrown away.
    pub(crate) fn call(
        &self,
        origin: Origin,
        version: u32,
        procedure: u32,
        args: &mut Decoder<'_>,
        out: &mut Encoder,
    ) -> Result<(), Refusal> {
        match (version, procedure) {
            (_, procedure::NULL) => {}
            (_, procedure::SET | procedure::UNSET) => out.bool(false),
            (PORT_MAPPER, procedure::GETADDR) => self.getport(args, out)?,
            (PORT_MAPPER, procedure::DUMP) => self.dump_ports(out),
            (PORT_MAPPER, _) => return Err(Refusal::ProcedureUnavailable),
            (_, procedure::GETADDR) => self.getaddr(origin, args, out)?,
            (VERSION_MAX, procedure::GETVERSADDR) => self.getaddr(origin, args, out)?,
            (_, procedure::DUMP) => self.dump_addresses(out),
            (_, procedure::GETTIME) => out.u32(seconds_since_1970()),
            (VERSION_MAX, procedure::GETADDRLIST) => self.getaddrlist(origin, args, out)?,
            _ => return Err(Refusal::ProcedureUnavailable),
        }
        Ok(())
    }

    fn of(&self, program: u32, version: u32) -> impl Iterator<Item = &Registration> {
        self.0.iter().filter(move |known| known.program == program && known.version == version)
    }

    /// RFC 1833 §3.2: 0 for what is not registered.
    fn getport(&self, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let (program, version, protocol, _port) = (args.u32()?, args.u32()?, args.u32()?, args.u32()?);
        args.end()?;
        let found = self.of(program, version).find(|known| known.transport.protocol() == protocol);
        out.u32(found.map_or(0, |known| u32::from(known.address.port())));
        Ok(())
    }

    fn dump_ports(&self, out: &mut Encoder) {
        for known in &self.0 {
            out.bool(true);
            let port = u32::from(known.address.port());
            out.u32s([known.program, known.version, known.transport.protocol(), port]);
        }
        out.bool(false);
    }

    /// RFC 1833 §2.2.1: an empty text for what is not registered.
    fn getaddr(&self, origin: Origin, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let asked = Asked::decode(args)?;
        let family =
            |known: &&Registration| known.transport.netid(known.address.ip()).as_bytes() == asked.netid;
        let of_program = || self.of(asked.program, asked.version);
        // A client that names no network id asks for the transport it came by; TCP is what serves NFS.
        let found =
            of_program().find(family).or_else(|| of_program().next().filter(|_| asked.netid.is_empty()));
        let text = found.map_or(String::new(), |known| universal_address(reachable(known.address, origin)));
        out.opaque(text.as_bytes());
        Ok(())
    }

    fn dump_addresses(&self, out: &mut Encoder) {
        for known in &self.0 {
            out.bool(true);
            out.u32(known.program);
            out.u32(known.version);
            out.opaque(known.transport.netid(known.address.ip()).as_bytes());
            out.opaque(universal_address(known.address).as_bytes());
            out.opaque(b"superuser");
        }
        out.bool(false);
    }

    /// RFC 1833 §2.2.1, `rpcb_entry_list`.
    fn getaddrlist(&self, origin: Origin, args: &mut Decoder<'_>, out: &mut Encoder) -> XdrResult<()> {
        let asked = Asked::decode(args)?;
        for known in self.of(asked.program, asked.version) {
            let (semantics, protocol) = match known.transport {
                Transport::Tcp => (3, "tcp"),
                Transport::Udp => (1, "udp"),
            };
            let family = if known.address.is_ipv4() { "inet" } else { "inet6" };
            out.bool(true);
            out.opaque(universal_address(reachable(known.address, origin)).as_bytes());
            out.opaque(known.transport.netid(known.address.ip()).as_bytes());
            out.u32(semantics);
            out.opaque(family.as_bytes());
            out.opaque(protocol.as_bytes());
        }
        out.bool(false);
        Ok(())
    }
}

/// The arguments of versions 3 and 4 (`rpcb`), as far as they matter.
struct Asked<'a> {
    program: u32,
    version: u32,
    netid: &'a [u8],
}

impl<'a> Asked<'a> {
    fn decode(args: &mut Decoder<'a>) -> XdrResult<Self> {
        let (program, version) = (args.u32()?, args.u32()?);
        let netid = args.opaque(TEXT_BYTES_MAX)?;
        let _address = args.opaque(TEXT_BYTES_MAX)?;
        let _owner = args.opaque(TEXT_BYTES_MAX)?;
        args.end()?;
        Ok(Self { program, version, netid })
    }
}

/// The address of a service as the client can use it: "all addresses" becomes the one by which it reached us.
fn reachable(address: SocketAddr, origin: Origin) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let local = origin.reached();
    if local.is_ipv4() == address.is_ipv4() { SocketAddr::new(local, address.port()) } else { address }
}

/// A universal address: the host, then the port as two decimal bytes (RFC 5665 §5.2.3.3).
fn universal_address(address: SocketAddr) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("{}.{high}.{low}", address.ip())
}

/// The wall clock, for GETTIME: the one answer that is the present time itself.
#[allow(
    clippy::disallowed_methods,
    reason = "GETTIME asks for this machine's wall clock and nothing depends on it"
)]
fn seconds_since_1970() -> u32 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NFS: u32 = 100_003;

    fn table() -> Table {
        let registration = |program, version, transport, port| Registration {
            program,
            version,
            transport,
            address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
        };
        Table(vec![
            registration(NFS, 3, Transport::Tcp, 2049),
            registration(100_005, 3, Transport::Tcp, 2049),
            registration(100_005, 3, Transport::Udp, 635),
        ])
    }

    fn call(version: u32, procedure: u32, args: Encoder) -> Result<Vec<u8>, Refusal> {
        let origin = Origin { peer: [192, 0, 2, 9].into(), local: Some([192, 0, 2, 1].into()) };
        let mut out = Encoder::new();
        table().call(origin, version, procedure, &mut Decoder::new(&args.into_bytes()), &mut out)?;
        Ok(out.into_bytes())
    }

    fn getport(program: u32, version: u32, protocol: u32) -> Vec<u8> {
        let mut args = Encoder::new();
        args.u32s([program, version, protocol, 0]);
        call(2, procedure::GETADDR, args).unwrap()
    }

    fn getaddr(program: u32, netid: &str) -> String {
        let mut args = Encoder::new();
        args.u32(program);
        args.u32(3);
        for text in [netid, "", ""] {
            args.opaque(text.as_bytes());
        }
        let bytes = call(4, procedure::GETADDR, args).unwrap();
        String::from_utf8(Decoder::new(&bytes).opaque(99).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn ports_of_registered_programs_are_told_and_0_for_others() {
        assert_eq!(getport(NFS, 3, 6), 2049u32.to_be_bytes());
        assert_eq!(getport(100_005, 3, 17), 635u32.to_be_bytes());
        assert_eq!(getport(NFS, 3, 17), [0; 4], "NFS over UDP is not served");
        assert_eq!(getport(NFS, 4, 6), [0; 4], "nor is version 4");
        assert_eq!(getport(100_021, 4, 6), [0; 4], "nor the lock manager");
    }

    #[test]
    fn addresses_are_those_the_client_can_reach() {
        assert_eq!(getaddr(NFS, "tcp"), "192.0.2.1.8.1");
        assert_eq!(getaddr(100_005, "udp"), "192.0.2.1.2.123");
        assert_eq!(getaddr(NFS, ""), "192.0.2.1.8.1");
        assert_eq!(getaddr(NFS, "udp"), "");
        assert_eq!(getaddr(100_021, "tcp"), "");
    }

    #[test]
    fn nobody_changes_the_table_or_sends_calls_through_it() {
        assert_eq!(call(2, procedure::SET, Encoder::new()), Ok(vec![0; 4]));
        assert_eq!(call(4, procedure::UNSET, Encoder::new()), Ok(vec![0; 4]));
        for version in 2..=4 {
            assert_eq!(call(version, 5, Encoder::new()), Err(Refusal::ProcedureUnavailable));
        }
    }

    #[test]
    fn a_dump_lists_every_registration_once() {
        let bytes = call(2, procedure::DUMP, Encoder::new()).unwrap();
        assert_eq!(bytes.len(), 3 * 20 + 4);
        assert_eq!(bytes[..20], [1, NFS, 3, 6, 2049].map(u32::to_be_bytes).concat());
    }
}
