//! The hardware watchdog: it restarts the machine when nobody has fed it for some seconds (Linux's
//! watchdog-api.rst). It is the last thing that takes the addresses from a kernel that hangs.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::ioctl::{Updater, ioctl, opcode};

/// Any byte feeds it, but for the one that lets it sleep.
const FOOD: &[u8] = b".";
/// Whoever writes this before he closes it means to stop ("magic close").
const FAREWELL: &[u8] = b"V";
/// `WDIOC_SETTIMEOUT`: seconds in, and what the device made of them out.
const SET_TIMEOUT: rustix::ioctl::Opcode = opcode::read_write::<libc::c_int>(b'W', 6);

/// Why there is no watchdog, or it is not fed.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// No device, or somebody else has it.
    #[error(
        "cannot open the watchdog {path}: {error}; \
         load its module (softdog, if the machine has none), or leave it out of the configuration"
    )]
    Unopened {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Opened, but it keeps no such time. It was told to sleep again.
    #[error("the watchdog {path} does not take a time-out of {seconds} s: {error}")]
    Timeout {
        /// Which.
        path: PathBuf,
        /// What was asked for.
        seconds: libc::c_int,
        /// Why.
        error: io::Error,
    },
    /// It takes no food: the machine will restart.
    #[error("cannot feed the watchdog: {0}; the machine restarts when its time is over")]
    Unfed(io::Error),
}

/// A watchdog that is awake. Dropped without [`Watchdog::release`] it restarts the machine when its time is over, as it
/// does when the process dies.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    timeout: Duration,
}

impl Watchdog {
    /// Wakes the one at that path. `timeout`: in whole seconds; hardware may round it.
    ///
    /// # Errors
    /// See [`WatchdogError`].
    pub fn open(path: &Path, timeout: Duration) -> Result<Self, WatchdogError> {
        let unopened = |error| WatchdogError::Unopened { path: path.to_owned(), error };
        let mut device = OpenOptions::new().write(true).open(path).map_err(unopened)?;
        let seconds = libc::c_int::try_from(timeout.as_secs()).unwrap_or(libc::c_int::MAX);
        match set_timeout(&device, seconds) {
            Ok(taken) => Ok(Self { device, timeout: Duration::from_secs(taken.unsigned_abs().into()) }),
            Err(error) => {
                // Or it would restart the machine because of a wrong number in a file.
                let _ = device.write_all(FAREWELL);
                Err(WatchdogError::Timeout { path: path.to_owned(), seconds, error })
            }
        }
    }

    /// How long it waits for food.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Feeds it.
    ///
    /// # Errors
    /// It takes nothing.
    pub fn feed(&mut self) -> Result<(), WatchdogError> {
        self.device.write_all(FOOD).map_err(WatchdogError::Unfed)
    }

    /// Lets it sleep again, where its driver permits that (`nowayout`).
    ///
    /// # Errors
    /// It takes nothing.
    pub fn release(mut self) -> Result<(), WatchdogError> {
        self.device.write_all(FAREWELL).map_err(WatchdogError::Unfed)
    }
}

#[allow(unsafe_code, reason = "rustix knows how to ask devices, but not what watchdogs can be asked")]
fn set_timeout(device: &File, seconds: libc::c_int) -> io::Result<libc::c_int> {
    let mut seconds = seconds;
    // SAFETY: WDIOC_SETTIMEOUT reads and writes one int, which is what this type says.
    unsafe { ioctl(device, Updater::<SET_TIMEOUT, libc::c_int>::new(&mut seconds)) }?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// FO-11: what is written decides whether the machine restarts: food while the judge lives, the farewell at a clean
    /// stop, and nothing more when it dies.
    #[test]
    fn a_watchdog_is_fed_and_told_of_a_clean_stop_alone() {
        let written = |end: fn(Watchdog)| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut watchdog = Watchdog { device: file.reopen().unwrap(), timeout: Duration::from_secs(10) };
            watchdog.feed().unwrap();
            watchdog.feed().unwrap();
            end(watchdog);
            fs::read(file.path()).unwrap()
        };
        assert_eq!(written(|watchdog| watchdog.release().unwrap()), b"..V");
        assert_eq!(written(drop), b"..");
    }

    /// FO-11: no device is told as that, and what is no watchdog too, and it is not left awake.
    #[test]
    fn what_is_no_watchdog_is_told() {
        let none = Watchdog::open(Path::new("/dev/watchdog-there-is-none"), Duration::from_secs(10));
        assert!(matches!(none, Err(WatchdogError::Unopened { .. })));
        let file = tempfile::NamedTempFile::new().unwrap();
        let no_watchdog = Watchdog::open(file.path(), Duration::from_secs(10));
        assert!(matches!(no_watchdog, Err(WatchdogError::Timeout { seconds: 10, .. })));
        assert_eq!(fs::read(file.path()).unwrap(), FAREWELL);
    }
}
