//! A disk whose syncs fail when a test says so: a library that is loaded before a daemon's own and answers in the
//! kernel's place.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::tools::run_ok;

/// The daemon may open no file of ours once it is confined: the switch is in its memory from its start on.
const SOURCE: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static const volatile char *is_failing;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("FAILING_SYNC"), O_RDONLY | O_CLOEXEC);
    void *seen = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (seen == MAP_FAILED) abort();
    close(file);
    is_failing = seen;
}
int fdatasync(int file) {
    if (*is_failing == '1') {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, file);
}
"#;

/// See the module.
pub struct FailingSync {
    library: PathBuf,
    switch: PathBuf,
}

impl FailingSync {
    /// Its files are in `dir`.
    pub fn new(dir: &Path) -> Self {
        let made = Self { library: dir.join("failing_sync.so"), switch: dir.join("failing_sync.switch") };
        let source = dir.join("failing_sync.c");
        fs::write(&source, SOURCE).unwrap();
        let (library, source) = (made.library.to_str().unwrap(), source.to_str().unwrap());
        run_ok("cc", &["-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source]);
        made.set(false);
        made
    }

    /// What a daemon is started with.
    pub fn environment(&self) -> [(String, String); 2] {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        [("LD_PRELOAD".into(), path(&self.library)), ("FAILING_SYNC".into(), path(&self.switch))]
    }

    /// Whether each sync of data fails from now on.
    pub fn set(&self, is_failing: bool) {
        // In place: a daemon that has it in its memory must not find it empty in between.
        let switch = File::options().create(true).truncate(false).write(true).open(&self.switch).unwrap();
        switch.write_all_at(if is_failing { b"1" } else { b"0" }, 0).unwrap();
    }
}
