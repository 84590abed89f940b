//! Writing files that are there whole or not at all, with the right mode from the first moment. A shell.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::render::{POSSIBLE, Rendered};

/// For everybody to read.
const OPEN: u32 = 0o644;
/// For the owner alone.
const SECRET: u32 = 0o600;

/// A file that could not be written, or a folder.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {error}; is there room, and may this user write there?")]
pub struct StoreError {
    path: PathBuf,
    error: io::Error,
}

/// Puts `content` in the place of the file at `path`, or makes it; durable on return.
///
/// # Errors
/// Of the disk; what was there is still whole then.
pub fn replace(path: &Path, content: &[u8], is_secret: bool) -> Result<(), StoreError> {
    let mode = if is_secret { SECRET } else { OPEN };
    let write = || {
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let mut file =
            Builder::new().prefix(".new-").permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
        file.write_all(content)?;
        // The mask of the process may have taken bits away. A FAT has no modes, and says so.
        match file.as_file().set_permissions(Permissions::from_mode(mode)) {
            Err(error) if is_secret => return Err(error),
            _ => {}
        }
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| StoreError { path: path.to_owned(), error })
}

/// Makes a folder for the owner alone, or for everybody to look into.
fn folder(path: &Path, mode: u32) -> Result<(), StoreError> {
    let failed = |error| StoreError { path: path.to_owned(), error };
    match DirBuilder::new().mode(mode).recursive(true).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Makes `out` hold the rendered files, and none that are left of an earlier site.
///
/// # Errors
/// The first that cannot be written; each of the others is the old one or the new one, whole.
pub fn fill(out: &Path, files: &[Rendered]) -> Result<(), StoreError> {
    folder(out, 0o755)?;
    for secrets in ["port", "judge"] {
        folder(&out.join(secrets), 0o700)?;
    }
    // What a configuration names is there before the configuration.
    let (secrets, open): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.is_secret);
    for file in secrets.into_iter().chain(open) {
        replace(&out.join(&file.path), &file.content, file.is_secret)?;
    }
    for path in POSSIBLE.iter().map(Path::new).filter(|path| files.iter().all(|file| file.path != *path)) {
        let path = out.join(path);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError { path, error }),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn files_have_their_modes_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let file = |path: &str, is_secret| Rendered { path: path.into(), content: path.into(), is_secret };
        fill(
            &out,
            &[file("network", false), file("port-failover.toml", false), file("judge/pair.key", true)],
        )
        .unwrap();
        assert_eq!(
            [mode(&out), mode(&out.join("judge")), mode(&out.join("judge/pair.key"))],
            [0o755, 0o700, 0o600]
        );
        assert_eq!(mode(&out.join("network")), 0o644);
        fs::write(out.join("of-somebody-else"), "").unwrap();
        fill(&out, &[file("network", false)]).unwrap();
        assert!(!out.join("port-failover.toml").exists() && !out.join("judge/pair.key").exists());
        assert!(out.join("of-somebody-else").exists());
        let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 4, "{left:?}: no temporary file stays");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("no/such/folder");
        let error = replace(&path, b"", true).unwrap_err().to_string();
        assert!(error.contains("no/such/folder"), "{error}");
    }
}
