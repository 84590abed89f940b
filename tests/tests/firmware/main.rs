//! The firmware image: how it is made, and boxes in QEMU that run it. The tests wait for emulated processors most of the
//! time and measure no short ones, so two may run side by side (`--test-threads 2`).

#![allow(clippy::unwrap_used)]

mod boot;
mod build;
mod inside;
mod power;
mod rollback;
mod update;
