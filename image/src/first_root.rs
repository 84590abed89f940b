//! The initramfs: what finds the slot and verifies it. It is made of the root file system's own programs, so that it is
//! the same whether those came from Debian or from Buildroot.

use std::collections::BTreeMap;
use std::io;

use crate::archive;
use crate::closure::{ClosureError, Files, closure};
use crate::modules::{self, Lists, NoModule};
use crate::packages::LIBRARY_FOLDERS;
use crate::tool::{ToolError, ZSTD};
use crate::tree::{Entry, Node, Tree};

/// Its first program.
const INIT: &str = include_str!("../board/init");
/// The programs it runs that are not BusyBox's.
const PROGRAMS: [&str; 3] = ["/bin/busybox", "/sbin/blkid", "/sbin/dmsetup"];
/// What it runs of BusyBox.
const APPLETS: [&str; 18] = [
    "[", "cat", "echo", "find", "grep", "ln", "ls", "mkdir", "modprobe", "mount", "reboot", "sed", "sh", "sleep",
    "sort", "switch_root", "umount", "xargs",
];

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum FirstRootError {
    /// The root file system has no such program.
    #[error("the root file system has no {program}: it needs BusyBox, util-linux's blkid and device mapper's dmsetup")]
    NoProgram {
        /// Which.
        program: &'static str,
    },
    /// Or lacks a library.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// Or a module.
    #[error(transparent)]
    Modules(#[from] NoModule),
    /// It cannot be written as an archive.
    #[error("cannot write the initramfs: {0}")]
    Archive(#[from] io::Error),
    /// It cannot be compressed.
    #[error(transparent)]
    Tool(#[from] ToolError),
}

impl Files for Tree {
    fn contents(&self, path: &str) -> Option<Vec<u8>> {
        Tree::contents(self, path).map(<[u8]>::to_vec)
    }
}

/// Makes it, compressed, for a root file system with the modules of the kernel it is to run under.
///
/// # Errors
/// See [`FirstRootError`].
pub fn make(root: &Tree) -> Result<Vec<u8>, FirstRootError> {
    let cpio = archive::to_cpio(&tree(root)?)?;
    Ok(ZSTD.with(["-19", "--single-thread", "--no-progress", "--stdout", "-"]).input(cpio).output()?)
}

fn tree(root: &Tree) -> Result<Tree, FirstRootError> {
    let mut tree = Tree::merged_usr();
    for folder in ["dev", "proc", "root", "run", "sys"] {
        tree.folder(folder, 0o755);
    }
    tree.file("init", 0o755, INIT.as_bytes().to_vec());
    let mut programs = BTreeMap::new();
    for program in PROGRAMS {
        let contents = root.contents(program).ok_or(FirstRootError::NoProgram { program })?;
        programs.insert(program.to_owned(), contents.to_vec());
    }
    for (path, contents) in closure(&programs, root, &LIBRARY_FOLDERS)?.into_iter().chain(programs) {
        tree.file(&path, 0o755, contents);
    }
    for applet in APPLETS {
        tree.link(&format!("bin/{applet}"), "busybox");
    }
    add_modules(&mut tree, root)?;
    Ok(tree)
}

/// The modules of [`modules::FIRST`] that the root file system has; none if the kernel has all built in.
fn add_modules(tree: &mut Tree, root: &Tree) -> Result<(), NoModule> {
    let lists: Vec<&str> = root
        .iter()
        .filter(|(path, entry)| path.ends_with("/modules.dep") && matches!(entry.node, Node::File(_)))
        .map(|(path, _)| path)
        .collect();
    for list in lists {
        let folder = list.trim_end_matches("/modules.dep");
        let text = |name: &str| {
            let contents = root.contents(&format!("{folder}/{name}")).unwrap_or_default();
            String::from_utf8_lossy(contents).into_owned()
        };
        let (needs, builtin) = (text("modules.dep"), text("modules.builtin"));
        let (wants, aliases) = (text("modules.softdep"), text("modules.alias"));
        let lists = Lists { needs: &needs, builtin: &builtin, wants: &wants, aliases: &aliases };
        // A kernel made for one kind of box has what it needs; only the fallback's list must be whole.
        let chosen = modules::choose(&lists, modules::known(&lists, &modules::FIRST))?;
        for path in &chosen.paths {
            let path = format!("{folder}/{path}");
            if let Some(Entry { node: Node::File(contents), .. }) = root.get(&path) {
                tree.file(&path, 0o644, contents.clone());
            }
        }
        for (name, contents) in [("modules.dep", chosen.needs), ("modules.alias", chosen.aliases)] {
            tree.file(&format!("{folder}/{name}"), 0o644, contents.into_bytes());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_without_a_program_is_told() {
        let mut root = Tree::merged_usr();
        root.file("bin/busybox", 0o755, b"#!static".to_vec());
        let told = tree(&root).unwrap_err().to_string();
        assert!(told.starts_with("the root file system has no /sbin/blkid: it needs"), "{told}");
    }

    #[test]
    fn a_kernel_without_modules_needs_none() {
        let mut root = Tree::merged_usr();
        root.file("bin/busybox", 0o755, b"#!static".to_vec());
        root.file("sbin/blkid", 0o755, b"#!static".to_vec());
        root.file("sbin/dmsetup", 0o755, b"#!static".to_vec());
        let made = tree(&root).unwrap();
        assert_eq!(made.contents("/bin/sh"), Some(&b"#!static"[..]));
        assert!(made.iter().all(|(path, _)| !path.contains("modules")));
    }
}
