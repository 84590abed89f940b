//! Modes, owners, times, sizes.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::forget;

pub fn modes_and_owners(folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    for mode in [0o000, 0o640, 0o777, 0o1644, 0o4755, 0o2711] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        forget();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, mode);
    }
    chown(&file, Some(1_000), Some(70_000)).unwrap();
    forget();
    let attributes = fs::metadata(&file).unwrap();
    assert_eq!((attributes.uid(), attributes.gid()), (1_000, 70_000));
    // A change of owner takes set-user-id and set-group-id away.
    assert_eq!(attributes.mode() & 0o6000, 0);
    fs::create_dir(folder.join("sub")).unwrap();
    fs::set_permissions(folder.join("sub"), Permissions::from_mode(0o1770)).unwrap();
    assert_eq!(fs::metadata(folder.join("sub")).unwrap().mode() & 0o7777, 0o1770);
}

pub fn times(folder: &Path) {
    let path = folder.join("file");
    let mut file = File::create_new(&path).unwrap();
    let (read, written) =
        (Duration::new(1_000_000_000, 123_456_789), Duration::new(1_500_000_000, 987_654_321));
    let epoch = SystemTime::UNIX_EPOCH;
    file.set_times(FileTimes::new().set_accessed(epoch + read).set_modified(epoch + written)).unwrap();
    forget();
    let attributes = fs::metadata(&path).unwrap();
    assert_eq!(attributes.accessed().unwrap(), epoch + read);
    assert_eq!(attributes.modified().unwrap(), epoch + written);
    let changed = (attributes.ctime(), attributes.ctime_nsec());
    file.write_all(b"new").unwrap();
    file.sync_all().unwrap();
    forget();
    let attributes = fs::metadata(&path).unwrap();
    assert!(attributes.modified().unwrap() > epoch + written, "a write advances the modification time");
    assert!((attributes.ctime(), attributes.ctime_nsec()) > changed, "and the change time");
    let before = fs::metadata(folder).unwrap().modified().unwrap();
    fs::write(folder.join("another"), "").unwrap();
    assert!(fs::metadata(folder).unwrap().modified().unwrap() > before, "a new entry advances its folder's");
}

pub fn permissions(folder: &Path) {
    let as_somebody = |script: &str| {
        let script = format!("cd '{}' && {script}", folder.display());
        Command::new("/bin/sh").args(["-c", &script]).uid(2_000).gid(2_000).status().unwrap().success()
    };
    let set =
        |name: &str, mode| fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("secret"), "root's").unwrap();
    set("secret", 0o600);
    assert!(!as_somebody("cat secret 2>/dev/null") && !as_somebody("(echo > secret) 2>/dev/null"));
    assert!(!as_somebody("(echo > new) 2>/dev/null") && !as_somebody("rm -f secret 2>/dev/null"));
    set("secret", 0o604);
    assert!(as_somebody("cat secret > /dev/null"), "a right given is seen at once");
    fs::create_dir(folder.join("shared")).unwrap();
    set("shared", 0o1777);
    fs::write(folder.join("shared/root"), "").unwrap();
    assert!(as_somebody("echo mine > shared/own && chmod 600 shared/own && cat shared/own > /dev/null"));
    assert_eq!(fs::metadata(folder.join("shared/own")).unwrap().uid(), 2_000);
    assert!(!as_somebody("mv shared/root shared/stolen 2>/dev/null"), "the folder is sticky");
    assert!(!as_somebody("chown 0 shared/own 2>/dev/null"));
}

pub fn file_system(folder: &Path) {
    let told = rustix::fs::statvfs(folder).unwrap();
    let (total, free) = (told.f_blocks, told.f_bavail);
    assert!(free > 0 && free <= total, "{free} of {total} blocks are free");
    assert_eq!(told.f_namemax, 255);
}

pub fn links_and_blocks(folder: &Path) {
    let file = folder.join("file");
    fs::write(&file, vec![1; 100_000]).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    forget();
    let attributes = fs::metadata(&file).unwrap();
    assert_eq!((attributes.nlink(), attributes.len()), (1, 100_000));
    assert!(attributes.blocks() * 512 >= 100_000, "{} blocks", attributes.blocks());
    assert_eq!(fs::metadata(folder).unwrap().nlink(), 3);
}
