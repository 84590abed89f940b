//! Guests with Linux's own NFS client: Debian's kernel and a small root file system of its own in QEMU, attached to a
//! network namespace of the test.
//!
//! - [`kernel`] unpacks the kernel of Debian's package and finds its modules.
//! - [`archive`] writes the archive format of a kernel's first root file system.
//! - [`initramfs`] says what lies in that root file system.
//! - [`lan`] is the namespace with a bridge that port and guests stand at.
//! - [`wire`] is how the test and the agent in the guest talk.
//! - [`guest`] is one guest: booted, given scripts, killed, booted again.
//! - [`log`] is what is said meanwhile.
//! - [`firmware`] is the image under test, made once.
//! - [`monitor`] shows what the processor of one that says nothing is at.
//! - [`appliance`] is a box with that image: its disks, its console, its three NICs.
//!
//! The processor is emulated (TCG), so no privilege of the machine's is needed beyond root for the namespace. A guest is
//! ready after four seconds on a quiet machine. Nothing here installs a boot loader or touches `/boot` other than by
//! reading.

pub mod appliance;
pub mod archive;
pub mod firmware;
pub mod guest;
pub mod initramfs;
pub mod kernel;
pub mod lan;
pub mod log;
pub mod monitor;
pub mod wire;
