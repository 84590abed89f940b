//! What the unit tests of several modules share.

pub(crate) mod center;
pub(crate) mod port;
pub(crate) mod rows;
