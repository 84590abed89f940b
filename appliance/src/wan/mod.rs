//! How much of the WAN the port may take, by time of day: `[wan]`.
//!
//! | file | what |
//! |---|---|
//! | [`pace`] | when the next bytes may go (pure) |
//! | [`schedule`] | which limits are in force when (pure) |
//! | `throttle` | who fetches and who stores waits for his turn |
//!
//! Bytes of objects are limited. Questions about the directory are small, and clients wait for them.

pub mod pace;
pub mod schedule;
mod throttle;

pub use throttle::Throttle;
