//! Benchmarks of NFSv3 servers over loopback: the same work on each, in turns, so that a change of the machine's
//! speed meets all of them. Processor seconds of the server are the figure to trust; the wall clock is shared.

pub mod load;
pub mod peers;
pub mod report;
