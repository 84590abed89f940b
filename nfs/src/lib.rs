//! ONC RPC, rpcbind, MOUNT v3 and NFS v3 in front of one trait, [`filesystem::Filesystem`].

pub mod filesystem;
