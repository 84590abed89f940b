//! Two NFS clients by other people, behind one face: each encodes the arguments and decodes the results by itself.

use super::call::{Call, Reply};
use crate::rpc::Credential;

/// A client of NFSv3 and MOUNT.
pub trait Client {
    /// One call and its reply.
    ///
    /// # Errors
    /// There was no result: the connection ended, the call was refused, or the reply could not be decoded.
    fn call(&mut self, who: &Credential, call: &Call) -> Result<Reply, String>;
}

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The crate `nfs3_client`.
    Nfs3Client,
    /// libnfs, as Debian has it.
    Libnfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Nfs3Client, Self::Libnfs];

    /// Its name in those of the tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nfs3Client => "nfs3_client",
            Self::Libnfs => "libnfs",
        }
    }
}
