//! Opens to fuzzing what the port reads from its own disks and keeps to itself. Each decoder is paired with its encoder,
//! so that what was understood can be compared with what was there.

pub use crate::data_cache::fuzz::index_record;
pub use crate::directory_cache::fuzz::snapshot;
pub use crate::journal::fuzz as journal;
