//! A server with a file system in memory, and a small raw client: blocking, one thread, every wait with a deadline.

#![allow(dead_code, reason = "each test file uses its own part of this module")]

pub mod probe;

pub mod lock_host;
pub mod locks;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nfs::filesystem::{Filesystem, Time};
use nfs::memory::MemoryFilesystem;
use nfs::record;
use nfs::server::{Addresses, Server};
use nfs::settings::{Bounds, Rpcbind, Settings};
use nfs::xdr::{Decoder, Encoder};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub const NFS: (u32, u32) = (100_003, 3);
pub const MOUNT: (u32, u32) = (100_005, 3);
pub const PORT_MAPPER: (u32, u32) = (100_000, 2);
/// Longest wait of a test for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const START: Time = Time { seconds: 1_000_000_000, nanos: 0 };

/// A running server; ends when dropped.
pub struct Running<F = MemoryFilesystem> {
    pub addresses: Addresses,
    pub filesystem: Arc<F>,
    runtime: Option<Runtime>,
    end: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
}

pub fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Settings on ports the system chooses, with an rpcbind of its own.
pub fn settings(bounds: Bounds) -> Settings {
    Settings {
        nfs: vec![loopback()],
        mount: vec![loopback()],
        rpcbind: Rpcbind::Serve(vec![loopback()]),
        locks: None,
        threads: 2,
        bounds,
        ..Settings::default()
    }
}

pub fn serve() -> Running {
    serve_with(MemoryFilesystem::new(&["/export", "/SRL"], START), Bounds::default())
}

pub fn serve_with<F: Filesystem>(filesystem: F, bounds: Bounds) -> Running<F> {
    serve_on(filesystem, settings(bounds))
}

pub fn serve_on<F: Filesystem>(filesystem: F, settings: Settings) -> Running<F> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let filesystem = Arc::new(filesystem);
    let (end, ended) = oneshot::channel();
    let server = runtime.block_on(Server::bind(settings)).unwrap();
    let addresses = server.addresses().clone();
    let served = runtime.spawn(server.serve(Arc::clone(&filesystem), async {
        let _ = ended.await;
    }));
    Running { addresses, filesystem, runtime: Some(runtime), end: Some(end), served: Some(served) }
}

impl<F> Running<F> {
    pub fn client(&self) -> Client {
        Client::connect(self.addresses.nfs[0])
    }

    /// A client and the root of `/export`.
    pub fn mounted(&self) -> (Client, Vec<u8>) {
        let mut client = self.client();
        let root = client.mount("/export");
        (client, root)
    }

    /// Asks the server to end and waits until it has.
    pub fn end(&mut self) {
        drop(self.end.take());
        if let (Some(runtime), Some(served)) = (&self.runtime, self.served.take()) {
            runtime.block_on(async { tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap() });
        }
    }
}

impl<F> Drop for Running<F> {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Who a client says it is.
#[derive(Clone)]
pub enum As {
    Nobody,
    User { uid: u32, gid: u32, groups: Vec<u32> },
}

impl As {
    pub fn root() -> Self {
        Self::user(0, 0)
    }

    pub fn user(uid: u32, gid: u32) -> Self {
        Self::User { uid, gid, groups: vec![] }
    }
}

/// Arguments of a call, and bytes of a whole record.
#[derive(Default)]
pub struct Args(pub Encoder);

impl Args {
    pub fn new() -> Self {
        Self(Encoder::new())
    }
    pub fn u32(mut self, value: u32) -> Self {
        self.0.u32(value);
        self
    }
    pub fn u64(mut self, value: u64) -> Self {
        self.0.u64(value);
        self
    }
    pub fn opaque(mut self, value: &[u8]) -> Self {
        self.0.opaque(value);
        self
    }
    pub fn raw(mut self, value: &[u8]) -> Self {
        self.0.raw(value);
        self
    }
    /// `sattr3` that sets nothing but, perhaps, mode and size.
    pub fn set(self, mode: Option<u32>, size: Option<u64>) -> Self {
        let with_mode = match mode {
            Some(mode) => self.u32(1).u32(mode),
            None => self.u32(0),
        };
        let with_ids = with_mode.u32(0).u32(0);
        let with_size = match size {
            Some(size) => with_ids.u32(1).u64(size),
            None => with_ids.u32(0),
        };
        with_size.u32(0).u32(0)
    }
    pub fn bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// The bytes of a call, without record mark.
pub fn call_bytes(xid: u32, program: (u32, u32), procedure: u32, who: &As, args: &[u8]) -> Vec<u8> {
    let mut call = Encoder::new();
    call.u32s([xid, 0, 2, program.0, program.1, procedure]);
    match who {
        As::Nobody => call.u32s([0, 0]),
        As::User { uid, gid, groups } => {
            let mut body = Encoder::new();
            body.u32(77);
            body.opaque(b"test");
            body.u32s([*uid, *gid, groups.len() as u32]);
            groups.iter().for_each(|group| body.u32(*group));
            call.u32(1);
            call.opaque(&body.into_bytes());
        }
    }
    call.u32s([0, 0]);
    call.raw(args);
    call.into_bytes()
}

pub fn with_mark(record: &[u8]) -> Vec<u8> {
    [&record::mark(record.len())[..], record].concat()
}

/// A reply without its record mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(pub Vec<u8>);

impl Reply {
    pub fn xid(&self) -> u32 {
        self.words()[0]
    }

    pub fn words(&self) -> Vec<u32> {
        self.0.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect()
    }

    /// Results of a call that was accepted and carried out.
    pub fn results(&self) -> Decoder<'_> {
        assert_eq!(self.words()[1..6], [1, 0, 0, 0, 0], "the call was not carried out: {:?}", self.words());
        Decoder::new(&self.0[24..])
    }

    /// Status of an NFS procedure, and the results behind it.
    pub fn status(&self) -> (u32, Decoder<'_>) {
        let mut results = self.results();
        (results.u32().unwrap(), results)
    }

    /// Results of an NFS procedure that went well.
    pub fn ok(&self) -> Decoder<'_> {
        let (status, results) = self.status();
        assert_eq!(status, 0, "{:?}", self.words());
        results
    }
}

pub struct Client {
    pub stream: TcpStream,
    pub who: As,
    xid: u32,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from an address of this machine: on the loopback each 127.0.0.x may be a client.
    pub fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, who: As::root(), xid: 1 }
    }

    /// Sends a call and gives its xid.
    pub fn send(&mut self, program: (u32, u32), procedure: u32, args: Args) -> u32 {
        self.xid += 1;
        let call = call_bytes(self.xid, program, procedure, &self.who, &args.bytes());
        self.stream.write_all(&with_mark(&call)).unwrap();
        self.xid
    }

    pub fn receive(&mut self) -> Reply {
        self.try_receive().expect("a reply")
    }

    /// The next reply; `None` if the server closed the connection.
    pub fn try_receive(&mut self) -> Option<Reply> {
        let mut mark = [0; 4];
        self.stream.read_exact(&mut mark).ok()?;
        let mark = u32::from_be_bytes(mark);
        assert!(mark & 1 << 31 != 0, "replies come in one fragment");
        let mut reply = vec![0; (mark & !(1 << 31)) as usize];
        self.stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply.len() % 4, 0);
        Some(Reply(reply))
    }

    pub fn call(&mut self, program: (u32, u32), procedure: u32, args: Args) -> Reply {
        let xid = self.send(program, procedure, args);
        let reply = self.receive();
        assert_eq!(reply.xid(), xid);
        reply
    }

    pub fn nfs(&mut self, procedure: u32, args: Args) -> Reply {
        self.call(NFS, procedure, args)
    }

    pub fn is_closed(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0]), Ok(1))
    }

    pub fn mount(&mut self, path: &str) -> Vec<u8> {
        let reply = self.call(MOUNT, 1, Args::new().opaque(path.as_bytes()));
        reply.ok().opaque(64).unwrap().to_vec()
    }

    /// CREATE UNCHECKED; the handle.
    pub fn create(&mut self, dir: &[u8], name: &[u8]) -> Vec<u8> {
        let reply = self.nfs(8, Args::new().opaque(dir).opaque(name).u32(0).set(Some(0o644), None));
        let mut results = reply.ok();
        results.optional(|results| Ok(results.opaque(64)?.to_vec())).unwrap().unwrap()
    }

    pub fn mkdir(&mut self, dir: &[u8], name: &[u8]) -> Vec<u8> {
        let reply = self.nfs(9, Args::new().opaque(dir).opaque(name).set(Some(0o755), None));
        let mut results = reply.ok();
        results.optional(|results| Ok(results.opaque(64)?.to_vec())).unwrap().unwrap()
    }

    pub fn write(&mut self, file: &[u8], offset: u64, data: &[u8]) {
        let args = Args::new().opaque(file).u64(offset).u32(data.len() as u32).u32(2).opaque(data);
        self.nfs(7, args).ok();
    }
}

pub fn read_args(file: &[u8], offset: u64, count: u32) -> Args {
    Args::new().opaque(file).u64(offset).u32(count)
}

/// The data of a READ reply, and whether it reaches the end of the file.
pub fn read_data(reply: &Reply) -> (Vec<u8>, bool) {
    let mut results = reply.ok();
    assert!(post_op(&mut results).is_some());
    let (count, eof) = (results.u32().unwrap(), results.bool().unwrap());
    let data = results.opaque(usize::MAX).unwrap().to_vec();
    results.end().unwrap();
    assert_eq!(data.len(), count as usize);
    (data, eof)
}

/// What tests look at of an object's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u32,
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub fileid: u64,
    pub modified: Time,
    pub changed: Time,
}

pub fn attributes(results: &mut Decoder<'_>) -> Seen {
    let mut u32 = || results.u32().unwrap();
    let (kind, mode, links, uid, gid) = (u32(), u32(), u32(), u32(), u32());
    let mut u64 = || results.u64().unwrap();
    let (size, _used, _device, _fsid, fileid) = (u64(), u64(), u64(), u64(), u64());
    let [_accessed, modified, changed] = [(); 3].map(|()| results.time().unwrap());
    Seen { kind, mode, links, uid, gid, size, fileid, modified, changed }
}

pub fn post_op(results: &mut Decoder<'_>) -> Option<Seen> {
    results.optional(|results| Ok(attributes(results))).unwrap()
}

/// Whether attributes before and after are there, and the latter.
pub fn wcc(results: &mut Decoder<'_>) -> (bool, Option<Seen>) {
    let before = results.optional(|results| Ok((results.u64()?, results.time()?, results.time()?))).unwrap();
    (before.is_some(), post_op(results))
}

/// Polls until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "still not: {what}");
        std::thread::yield_now();
    }
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A file system whatever its kind, to keep the trait in scope for calls without the wire.
pub fn exports(filesystem: &impl Filesystem) -> usize {
    filesystem.exports().len()
}
