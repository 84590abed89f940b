//! Setting a storage port up: from one small file about the site to the configurations of everything that runs on it.
//!
//! | module | what |
//! |---|---|
//! | [`words`] | the single values, each a type that can hold nothing else (pure) |
//! | [`site`] | the site file: read, and all that is wrong with it told (pure) |
//! | [`migrate`] | site files of older firmware (pure), and what is kept for a firmware that comes back |
//! | [`files`], [`nics`], [`disks`] | what the machine has of what the site file names |
//! | [`render`] | the configurations of both daemons, and what boot scripts must know (pure) |
//! | [`wizard`] | the site file as a conversation (pure), and the console it is held on |
//! | [`store`] | writing all this |
//!
//! It knows how the daemons' configurations are written, and nothing of the daemons: whether they take them, they say
//! themselves.

pub mod disks;
mod fault;
pub mod files;
pub mod load;
mod migrate;
pub mod nics;
pub mod render;
pub mod site;
pub mod store;
pub mod wizard;
pub mod words;

pub use self::fault::Fault;
