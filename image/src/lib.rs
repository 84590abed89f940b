//! The image builder: a root file system and a kernel in, what is flashed onto the box out.
//!
//! - [`tree`] is a root file system in memory, with owners and modes; [`archive`] writes it as tar and cpio.
//! - [`elf`] and [`closure`] say which shared libraries programs need; pure.
//! - [`modules`] picks modules of a kernel with all they need; pure.
//! - [`packages`] is the fallback's list: what is taken of Debian's packages; [`debian`] takes it.
//! - [`accounts`] makes the files of users and groups from Buildroot's table of users; pure.
//! - [`first_root`] makes the initramfs from the root file system's own programs.
//! - [`grub`] is the boot loader: its configuration (pure), and its two core images.
//! - [`boot_state`] is the block in which the slots' tries are counted; pure.
//! - [`slot`] makes what goes into a slot: boot files, root file system, hash tree.
//! - [`disk`] makes the disk of it: GPT, ESP, slots, configuration.
//! - [`layout`] has the numbers that builder, boot loader and box agree upon.
//! - [`bundle`] makes signed updates; [`inspect`] tells what is in an image.
//! - [`sbom`] is the bill of materials: every crate and package that is in the image, with its licence.
//! - [`tool`] runs programs from outside, and says whose package is missing.
//!
//! It needs no root and no loop device. It reads no clock: times in the image are `SOURCE_DATE_EPOCH`.

pub mod accounts;
pub mod archive;
pub mod boot_state;
pub mod build;
pub mod bundle;
pub mod closure;
pub mod debian;
pub mod disk;
pub mod elf;
pub mod first_root;
pub mod grub;
pub mod inspect;
pub mod layout;
pub mod modules;
pub mod packages;
pub mod sbom;
pub mod slot;
pub mod tool;
pub mod tree;
