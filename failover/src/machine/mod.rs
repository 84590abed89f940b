//! The judge of one port.

pub mod action;
pub mod event;
pub mod message;
pub mod time;
