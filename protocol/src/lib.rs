//! What a storage port, a storage center and their clients say to each other: bytes in, values out.
//!
//! Pure: no I/O, no clock, no randomness. Callers pass `now` and random tokens in.

pub mod digest;
pub mod dosp;
pub mod id;
pub mod metadata;
pub mod name;
pub mod pair;
pub mod srl;
pub mod vfs;
