//! Telling whoever started a daemon that it serves now: a newline on a descriptor that he left open for it, which is then
//! closed (the notification of s6, and of those who speak its protocol).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first descriptor that is none of standard input, output and error.
const FIRST: RawFd = 3;

/// Why there is nobody to tell.
#[derive(Debug, thiserror::Error)]
pub enum ReadinessError {
    /// Nobody left a descriptor there, or one of the first three was named.
    #[error(
        "--ready-fd {0}: no such descriptor is open; name the one that the supervisor opened (`notification-fd`), \
         3 or more"
    )]
    NotOpen(RawFd),
    /// The kernel refuses.
    #[error("--ready-fd {0}: {1}")]
    Refused(RawFd, io::Error),
}

/// A descriptor on which somebody waits. Dropped without a word it is closed, which tells him that none will come.
#[derive(Debug)]
pub struct Readiness(File);

impl Readiness {
    /// Takes over the inherited descriptor `number`. To be called before the process opens anything itself: then what
    /// stands under this number was left there by whoever started it.
    ///
    /// # Errors
    /// See [`ReadinessError`].
    #[allow(unsafe_code, reason = "an inherited descriptor has no owner in Rust yet: it gets one here")]
    pub fn take(number: RawFd) -> Result<Self, ReadinessError> {
        if number < FIRST || !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
            return Err(ReadinessError::NotOpen(number));
        }
        // SAFETY: it is open, as was seen; nothing else in this process has it, for nothing was opened yet.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // What the daemon starts shall not hold it open.
        let flags =
            fcntl_getfd(&descriptor).and_then(|flags| fcntl_setfd(&descriptor, flags | FdFlags::CLOEXEC));
        flags.map_err(|error| ReadinessError::Refused(number, error.into()))?;
        Ok(Self(descriptor.into()))
    }

    /// Says that the daemon serves. Nobody listening any more is no failure.
    pub fn tell(mut self) {
        let _ = self.0.write_all(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::IntoRawFd;

    use super::*;

    #[test]
    fn the_waiting_reads_one_newline_and_then_the_end() {
        let (mut reader, writer) = io::pipe().unwrap();
        let readiness = Readiness::take(OwnedFd::from(writer).into_raw_fd()).unwrap();
        assert!(fcntl_getfd(&readiness.0).unwrap().contains(FdFlags::CLOEXEC));
        readiness.tell();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "\n");
    }

    #[test]
    fn a_daemon_that_ends_before_it_serves_says_nothing() {
        let (mut reader, writer) = io::pipe().unwrap();
        drop(Readiness::take(OwnedFd::from(writer).into_raw_fd()).unwrap());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_not_open_is_refused_in_words() {
        for number in [-1, 0, 2, 999] {
            let error = Readiness::take(number).unwrap_err().to_string();
            assert!(error.contains(&number.to_string()) && error.contains("notification-fd"), "{error}");
        }
    }
}
