//! The storage center in one process: the VFS (roles `ddm`), the object manager (`dosm`) and a storage node (`isn`).

pub mod dosm;
pub mod host;
pub mod http;
pub mod isn;
pub mod vfs;
