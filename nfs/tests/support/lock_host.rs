//! The other side of a client: the lock manager, status monitor and rpcbind that a server calls.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use nfs::xdr::{Decoder, Encoder};

use super::locks::{NLM, NSM, address};
use super::{PATIENCE, with_mark};

/// Header of a call without credential: ten words.
const HEADER_BYTES: usize = 40;

/// A call that came.
pub struct Called {
    pub program: u32,
    pub procedure: u32,
    pub args: Vec<u8>,
    /// Whose address it came from.
    pub from: IpAddr,
}

/// How it answers GRANTED.
#[derive(Clone, Copy)]
pub enum Answer {
    Status(u32),
    Silence,
}

/// What it registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Tcp,
    Udp,
}

/// The daemons of the client at 127.0.0.`host`. They end with the test's process.
pub struct LockHost {
    pub rpcbind_port: u16,
    pub answer: Arc<Mutex<Answer>>,
    calls: Receiver<Called>,
}

#[derive(Clone)]
struct Daemons {
    answer: Arc<Mutex<Answer>>,
    calls: Sender<Called>,
}

impl LockHost {
    /// With its rpcbind at a port of its own (0: any).
    pub fn start(host: u8, rpcbind_port: u16, over: Over) -> Self {
        let rpcbind = UdpSocket::bind((address(host), rpcbind_port)).unwrap();
        let rpcbind_port = rpcbind.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(Answer::Status(0)));
        let (sender, calls) = channel();
        let daemons = Daemons { answer: Arc::clone(&answer), calls: sender };
        let port = match over {
            Over::Tcp => {
                let listener = TcpListener::bind((address(host), 0)).unwrap();
                let port = listener.local_addr().unwrap().port();
                thread::spawn(move || daemons.serve_tcp(&listener));
                port
            }
            Over::Udp => {
                let socket = UdpSocket::bind((address(host), 0)).unwrap();
                let port = socket.local_addr().unwrap().port();
                thread::spawn(move || daemons.serve_udp(&socket));
                port
            }
        };
        thread::spawn(move || serve_rpcbind(&rpcbind, port, over));
        Self { rpcbind_port, answer, calls }
    }

    pub fn set_answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub fn next(&self) -> Called {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }
}

impl Daemons {
    fn serve_tcp(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let from = stream.peer_addr().unwrap();
            let mut mark = [0; 4];
            while stream.read_exact(&mut mark).is_ok() {
                let mut call = vec![0; (u32::from_be_bytes(mark) & (u32::MAX >> 1)) as usize];
                stream.read_exact(&mut call).unwrap();
                if let Some(reply) = self.handle(&call, from) {
                    stream.write_all(&with_mark(&reply)).unwrap();
                }
            }
        }
    }

    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 65536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if let Some(reply) = self.handle(&buffer[..len], from) {
                let _ = socket.send_to(&reply, from);
            }
        }
    }

    fn handle(&self, call: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let args = call[HEADER_BYTES..].to_vec();
        let (program, procedure) = (word(call, 3), word(call, 5));
        assert_eq!(word(call, 4), if program == NLM.0 { NLM.1 } else { NSM.1 }, "the version");
        let mut reply = Encoder::new();
        reply.u32s([word(call, 0), 1, 0, 0, 0, 0]);
        let answer = *self.answer.lock().unwrap();
        let is_granted = (program, procedure) == (NLM.0, 5);
        if is_granted && let Answer::Status(status) = answer {
            reply.opaque(Decoder::new(&args).opaque(1024).unwrap());
            reply.u32(status);
        }
        let _ = self.calls.send(Called { program, procedure, args, from: from.ip() });
        (!matches!(answer, Answer::Silence)).then(|| reply.into_bytes())
    }
}

fn word(call: &[u8], index: usize) -> u32 {
    u32::from_be_bytes(call[4 * index..][..4].try_into().unwrap())
}

/// GETPORT for the one port of both programs.
fn serve_rpcbind(socket: &UdpSocket, port: u16, over: Over) {
    let mut buffer = [0; 1024];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        let call = &buffer[..len];
        let protocol = if over == Over::Tcp { 6 } else { 17 };
        let asked = (word(call, 10), word(call, 11));
        let is_here = word(call, 12) == protocol && [NLM, NSM].contains(&asked);
        let port = if is_here { u32::from(port) } else { 0 };
        let reply = [word(call, 0), 1, 0, 0, 0, 0, port].map(u32::to_be_bytes).concat();
        let _ = socket.send_to(&reply, from);
    }
}
