//! Samba as the server of CIFS clients, of trees that are mounted on this machine.
//!
//! | module | what |
//! |---|---|
//! | [`conf`] | `smb.conf` (pure) |
//! | [`accounts`] | those who may log on, as Samba and the C library read them (pure) |
//! | [`keeper`] | the process that mounts, and starts and ends Samba |
//! | [`kept`] | how the port has it do so |
//!
//! The port itself may neither mount nor start programs from its first moment on (`confine`). So a process of its own,
//! the keeper, is begun before: it does no more than it is told over a socket, and when that ends, however the port has
//! ended, it kills Samba and unmounts everything.

pub mod accounts;
pub mod conf;
pub mod keeper;
pub mod kept;
