//! Folders, names and links.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use e2e::poll;
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use super::{assert_refused, forget};

fn names_of(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

pub fn trees(folder: &Path) {
    fn make(folder: &Path, levels: u32) {
        for number in 0..5 {
            fs::write(folder.join(format!("file-{number}")), number.to_string()).unwrap();
        }
        for number in 0..if levels > 0 { 3 } else { 0 } {
            let sub = folder.join(format!("folder-{number}"));
            fs::create_dir(&sub).unwrap();
            make(&sub, levels - 1);
        }
    }
    fn count(folder: &Path) -> (u32, u32) {
        let mut counts = (0, 0);
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => {
                    let (files, folders) = count(&entry.path());
                    counts = (counts.0 + files, counts.1 + folders + 1);
                }
                false => counts.0 += 1,
            }
        }
        counts
    }
    make(folder, 3);
    assert_eq!(count(folder), (200, 39));
    forget();
    assert_eq!(count(folder), (200, 39));
    assert_refused(fs::remove_dir(folder.join("folder-0")), Errno::NOTEMPTY);
    fs::remove_dir_all(folder.join("folder-0")).unwrap();
    assert_eq!(count(folder), (135, 26));
}

pub fn lookup(folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    assert!(fs::metadata(&file).unwrap().is_file());
    assert_refused(fs::metadata(folder.join("absent")), Errno::NOENT);
    assert_refused(fs::metadata(file.join("below")), Errno::NOTDIR);
    assert_refused(fs::read_dir(&file), Errno::NOTDIR);
    assert_refused(File::options().write(true).open(folder), Errno::ISDIR);
    let longest = folder.join("n".repeat(255));
    fs::write(&longest, "long").unwrap();
    forget();
    assert_eq!(fs::read(&longest).unwrap(), b"long");
    assert_refused(fs::write(folder.join("n".repeat(256)), ""), Errno::NAMETOOLONG);
    for name in ["with space", "größe", "日本語", "-dash", "back\\slash", "new\nline"] {
        fs::write(folder.join(name), name).unwrap();
        forget();
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), name);
    }
    // A name that was absent is seen as soon as it is there.
    let late = folder.join("late");
    assert!(!late.exists());
    fs::create_dir(&late).unwrap();
    assert!(late.is_dir());
    fs::remove_dir(&late).unwrap();
    assert!(!late.exists());
}

pub fn exclusive(folder: &Path) {
    let path = folder.join("file");
    File::create_new(&path).unwrap().write_all(b"first").unwrap();
    assert_refused(File::create_new(&path), Errno::EXIST);
    assert_refused(fs::create_dir(&path), Errno::EXIST);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    fs::remove_file(&path).unwrap();
    assert_refused(fs::remove_file(&path), Errno::NOENT);
    File::create_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

pub fn rename(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::write(at("a"), "a").unwrap();
    fs::write(at("b"), "b").unwrap();
    fs::rename(at("a"), at("b")).unwrap();
    assert_eq!(fs::read(at("b")).unwrap(), b"a");
    assert_refused(fs::rename(at("a"), at("c")), Errno::NOENT);
    fs::rename(at("b"), at("b")).unwrap();

    fs::create_dir(at("empty")).unwrap();
    fs::create_dir_all(at("full/sub")).unwrap();
    assert_refused(fs::rename(at("empty"), at("full")), Errno::NOTEMPTY);
    assert_refused(fs::rename(at("b"), at("full")), Errno::ISDIR);
    assert_refused(fs::rename(at("full"), at("b")), Errno::NOTDIR);
    assert_refused(fs::rename(at("full"), at("full/sub/below")), Errno::INVAL);
    fs::rename(at("b"), at("full/sub/moved")).unwrap();
    fs::rename(at("full"), at("empty")).unwrap();
    forget();
    assert_eq!(fs::read(at("empty/sub/moved")).unwrap(), b"a");
    assert_eq!(names_of(folder), ["empty"]);
    // A program that works inside goes with its folder.
    fs::rename(at("empty/sub"), at("sub")).unwrap();
    assert_eq!(fs::canonicalize(at("sub/..")).unwrap(), folder);
    assert_eq!((names_of(&at("empty")).len(), names_of(&at("sub")).len()), (0, 1));
}

pub fn rename_onto_open(folder: &Path) {
    let (old, new) = (folder.join("old"), folder.join("new"));
    fs::write(&old, "old contents").unwrap();
    let mut open = File::open(&old).unwrap();
    fs::write(&new, "new contents").unwrap();
    fs::rename(&new, &old).unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "old contents");
    assert_eq!(fs::read(&old).unwrap(), b"new contents");
}

pub fn symbolic_links(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/file"), "behind").unwrap();
    symlink("folder/file", at("link")).unwrap();
    symlink("folder", at("short")).unwrap();
    symlink("absent", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    let long = "x/".repeat(500);
    symlink(&long, at("long")).unwrap();
    forget();
    assert_eq!(fs::read(at("link")).unwrap(), b"behind");
    assert_eq!(fs::read(at("short/file")).unwrap(), b"behind");
    assert_eq!(fs::read_link(at("long")).unwrap().to_str().unwrap(), long);
    let link = fs::symlink_metadata(at("link")).unwrap();
    assert_eq!((link.is_symlink(), link.len()), (true, 11));
    assert_refused(fs::read(at("dangling")), Errno::NOENT);
    assert_refused(fs::read(at("loop")), Errno::LOOP);
    assert_refused(symlink("again", at("link")), Errno::EXIST);
    assert_refused(fs::read_link(at("folder")), Errno::INVAL);
    fs::remove_file(at("short")).unwrap();
    assert!(at("folder/file").exists());
}

pub fn listing(folder: &Path) {
    const ENTRIES: usize = 700;
    for number in 0..ENTRIES {
        File::create_new(folder.join(format!("entry-with-a-longer-name-{number:04}"))).unwrap();
    }
    for _ in 0..2 {
        let names = names_of(folder);
        assert_eq!(names.len(), ENTRIES);
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>().len(), ENTRIES);
        forget();
    }
    // "." and ".." are the folder and its parent.
    let of = |path: &Path| rustix::fs::stat(path).unwrap().st_ino;
    let open = rustix::fs::Dir::read_from(File::open(folder).unwrap()).unwrap();
    let dots: Vec<_> =
        open.map(Result::unwrap).filter(|entry| entry.file_name().to_bytes().starts_with(b".")).collect();
    assert_eq!(dots.len(), 2);
    for dot in dots {
        let path = if dot.file_name() == c"." { folder } else { folder.parent().unwrap() };
        assert_eq!(dot.ino(), of(path), "{:?}", dot.file_name());
    }
}

pub fn removal_while_listing(folder: &Path) {
    for number in 0..600 {
        File::create_new(folder.join(format!("entry-{number}"))).unwrap();
    }
    let mut removed = 0;
    for entry in fs::read_dir(folder).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
        removed += 1;
    }
    assert_eq!((removed, names_of(folder).len()), (600, 0));
}

pub fn removed_but_open(folder: &Path) {
    let path = folder.join("file");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all(b"before").unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!path.exists());
    // The kernel's client has renamed it ("silly rename").
    let left = names_of(folder);
    assert!(left.len() == 1 && left[0].to_str().unwrap().starts_with(".nfs"), "{left:?}");
    file.write_all(b" and after").unwrap();
    file.sync_all().unwrap();
    forget();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "before and after");
    drop(file);
    // The kernel's client sends the removal at the close, and does not wait for the answer.
    poll::until("the renamed file is gone", Duration::from_secs(10), || {
        names_of(folder).is_empty().then_some(())
    });
}

/// The center has no hard links and no special files; the name must not appear.
pub fn refused_kinds(folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    fs::hard_link(&file, folder.join("hard")).unwrap_err();
    rustix::fs::mknodat(CWD, folder.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap_err();
    assert_eq!(names_of(folder), ["file"]);
}
