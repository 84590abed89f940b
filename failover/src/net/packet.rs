//! Sockets for whole Ethernet frames (`AF_PACKET`).

use std::io;
use std::mem::size_of;

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

/// A socket that sends frames on an interface and receives none: to receive costs something for every frame of the LAN.
pub fn sender(interface: u32) -> io::Result<Socket> {
    let socket = raw()?;
    socket.bind(&address(interface, 0)?)?;
    Ok(socket)
}

/// A socket that sends frames on an interface and receives those that this filter lets through; it sees them before the
/// fence does.
pub fn listener(interface: u32, filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = raw()?;
    // Before it is bound: until then nothing comes.
    socket.attach_filter(filter)?;
    socket.bind(&address(interface, libc::ETH_P_ALL as u16)?)?;
    Ok(socket)
}

/// Sends each of these frames; the first failure is told when all were tried.
pub fn send_all(socket: &Socket, frames: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let mut outcome = Ok(());
    for frame in frames {
        outcome = outcome.and(socket.send(&frame).map(drop));
    }
    outcome
}

/// Most frames that are looked at before others go first.
const FRAMES_AT_ONCE: usize = 64;

/// What the first frame says that says something, of those that have come; of each only so many bytes are looked at.
pub fn first<T, const BYTES: usize>(
    socket: &Socket,
    said: impl Fn(&[u8]) -> Option<T>,
) -> io::Result<Option<T>> {
    let mut frame = [0; BYTES];
    for _ in 0..FRAMES_AT_ONCE {
        let length = match rustix::io::read(socket, &mut frame) {
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN) => break,
            Err(error) => return Err(error.into()),
        };
        if let Some(said) = said(&frame[..length]) {
            return Ok(Some(said));
        }
    }
    Ok(None)
}

fn raw() -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None::<Protocol>)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[allow(
    unsafe_code,
    reason = "neither the standard library nor socket2 nor rustix knows addresses of AF_PACKET"
)]
fn address(interface: u32, protocol: u16) -> io::Result<SockAddr> {
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        // SAFETY: the storage is zeroed, aligned and long enough for every address (socket(7)), `sockaddr_ll` among
        // them, and so is its length; both are the caller's alone.
        unsafe {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as u16;
            (*link).sll_protocol = protocol.to_be();
            (*link).sll_ifindex = interface as i32;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        }
        Ok(())
    };
    // SAFETY: `fill` makes an address of AF_PACKET and sets its length.
    unsafe { SockAddr::try_init(fill) }.map(|((), address)| address)
}

/// An instruction of the kernel's packet filter (bpf(4)): takes `size` bytes at this offset of the frame.
pub const fn load(size: u32, at: u32) -> SockFilter {
    SockFilter::new((libc::BPF_LD | size | libc::BPF_ABS) as u16, 0, 0, at)
}

/// Compares what was taken; jumps count from the next line.
pub const fn if_equal(value: u32, then: u8, otherwise: u8) -> SockFilter {
    SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, then, otherwise, value)
}

/// Ends: so many bytes of the frame are received, or none of it.
pub const fn pass(bytes: u32) -> SockFilter {
    SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, bytes)
}
