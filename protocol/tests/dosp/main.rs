//! DOSP from the outside: every structure both ways, by property and by fixed vectors; every limit at its edge; an
//! operation that the library does not know; and what the replay window takes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod extension;
mod limits;
mod properties;
mod replay;
mod values;
mod vectors;
