//! Visiting a running service once as a client does: NULL, MOUNT of an export, GETATTR of its root, UMOUNT.
//!
//! For who wants to know whether clients are served, and takes no "not now" for an answer; [`crate::probe`] asks whether
//! the service lives. Bounded in bytes; how long to wait is for the caller, who drops the question.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::filesystem::Handle;
use crate::mount;
use crate::probe::read_record;
use crate::record::mark;
use crate::rpc;
use crate::v3;
use crate::xdr::{Decoder, Encoder};

/// `MNT3ERR_NOENT`.
const NO_SUCH_EXPORT: u32 = 2;
/// `MNT3ERR_ACCES`.
const NOT_ADMITTED: u32 = 13;
/// `MNT3ERR_SERVERFAULT`, by which a service says "not now".
const NOT_NOW: u32 = 10_006;

/// Why no client would be served. One line, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// No connection, or it ended.
    #[error("nobody answers at {address}: {error}")]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// What came is no reply to the call.
    #[error("{address} does not answer {call} as an NFS service does")]
    NotNfs {
        /// Who was asked.
        address: SocketAddr,
        /// What.
        call: &'static str,
    },
    /// It has none of the exports.
    #[error("{address} does not know the export {path}: was its configuration changed since it was started?")]
    NoExport {
        /// Who was asked.
        address: SocketAddr,
        /// For what.
        path: String,
    },
    /// It admits others.
    #[error("{address} lets this address not mount {path}: add it to `allowed` of an [[export]]")]
    NotAdmitted {
        /// Who was asked.
        address: SocketAddr,
        /// For what.
        path: String,
    },
    /// It serves nobody at this time.
    #[error("{address} takes no mounts now")]
    NotNow {
        /// Who was asked.
        address: SocketAddr,
    },
    /// It fails.
    #[error("{address} answers {call} of {path} with error {status}")]
    Broken {
        /// Who was asked.
        address: SocketAddr,
        /// What.
        call: &'static str,
        /// For what.
        path: String,
        /// `mountstat3` or `nfsstat3`.
        status: u32,
    },
}

/// Where a service answers.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// NFS over TCP.
    pub nfs: SocketAddr,
    /// MOUNT over TCP.
    pub mount: SocketAddr,
}

/// Visits a service, and gives the first of `paths` that it let this machine mount.
///
/// # Errors
/// See [`VisitError`]; of several exports, what the first was refused with.
pub async fn visit(service: Service, paths: &[&str]) -> Result<String, VisitError> {
    let mut nfs = Conversation::begin(service.nfs).await?;
    let null = Call { program: v3::PROGRAM, version: v3::VERSION, number: v3::procedure::NULL, name: "NULL" };
    nfs.ask(null, &[]).await?;
    let mut mount = Conversation::begin(service.mount).await?;
    let mut refused = None;
    for path in paths {
        match mount.mount(path).await {
            Ok(root) => {
                let looked = nfs.look(path, &root).await;
                // So that no mount of nobody's is listed by `showmount`; what comes of it changes nothing.
                let _ = mount.ask(mount_call(mount::procedure::UMNT, "UMNT"), &text(path)).await;
                return looked.map(|()| (*path).to_owned());
            }
            Err(error @ (VisitError::NoExport { .. } | VisitError::NotAdmitted { .. })) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or(VisitError::NoExport { address: service.mount, path: "/".to_owned() }))
}

#[derive(Clone, Copy)]
struct Call {
    program: u32,
    version: u32,
    number: u32,
    name: &'static str,
}

const fn mount_call(number: u32, name: &'static str) -> Call {
    Call { program: mount::PROGRAM, version: mount::VERSION_MAX, number, name }
}

struct Conversation {
    address: SocketAddr,
    stream: TcpStream,
    xid: u32,
}

impl Conversation {
    async fn begin(address: SocketAddr) -> Result<Self, VisitError> {
        let connected = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connected.await.map_err(|error| VisitError::NoAnswer { address, error })?;
        Ok(Self { address, stream, xid: 0 })
    }

    async fn mount(&mut self, path: &str) -> Result<Handle, VisitError> {
        let call = mount_call(mount::procedure::MNT, "MOUNT");
        let results = self.ask(call, &text(path)).await?;
        let mut results = Decoder::new(&results);
        let (address, path) = (self.address, path.to_owned());
        let not_nfs = |_| VisitError::NotNfs { address, call: call.name };
        match results.u32().map_err(not_nfs)? {
            0 => results.handle().map_err(not_nfs),
            NO_SUCH_EXPORT => Err(VisitError::NoExport { address, path }),
            NOT_ADMITTED => Err(VisitError::NotAdmitted { address, path }),
            NOT_NOW => Err(VisitError::NotNow { address }),
            status => Err(VisitError::Broken { address, call: call.name, path, status }),
        }
    }

    async fn look(&mut self, path: &str, root: &Handle) -> Result<(), VisitError> {
        let number = v3::procedure::GETATTR;
        let call = Call { program: v3::PROGRAM, version: v3::VERSION, number, name: "GETATTR" };
        let mut handle = Encoder::new();
        handle.opaque(root.as_bytes());
        let results = self.ask(call, &handle.into_bytes()).await?;
        let (address, call, path) = (self.address, call.name, path.to_owned());
        match Decoder::new(&results).u32() {
            Ok(0) => Ok(()),
            Ok(status) => Err(VisitError::Broken { address, call, path, status }),
            Err(_) => Err(VisitError::NotNfs { address, call }),
        }
    }

    /// The results of a call that was carried out.
    async fn ask(&mut self, call: Call, arguments: &[u8]) -> Result<Vec<u8>, VisitError> {
        let address = self.address;
        self.xid = self.xid.wrapping_add(1);
        let mut record = Encoder::new();
        rpc::encode_call(&mut record, self.xid, call.program, call.version, call.number);
        record.raw(arguments);
        let record = record.into_bytes();
        let no_answer = |error| VisitError::NoAnswer { address, error };
        self.stream.write_all(&[&mark(record.len())[..], &record].concat()).await.map_err(no_answer)?;
        let not_nfs = || VisitError::NotNfs { address, call: call.name };
        let answer = read_record(&mut self.stream).await.map_err(no_answer)?.ok_or_else(not_nfs)?;
        let mut decoder = Decoder::new(&answer);
        rpc::decode_success(&mut decoder, self.xid).map_err(|_| not_nfs())?;
        Ok(decoder.rest().to_vec())
    }
}

fn text(path: &str) -> Vec<u8> {
    let mut out = Encoder::new();
    out.opaque(path.as_bytes());
    out.into_bytes()
}
