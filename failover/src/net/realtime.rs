//! Lets the judge go before all others: a judge that waits for a processor loses its lease.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};

/// Above every ordinary thread and most of the others; below the kernel's own threads for interrupts (50).
const PRIORITY: libc::c_int = 40;

/// What this process may not have. It works without, but a busy machine may cost it its lease.
#[derive(Debug, thiserror::Error)]
pub enum RealtimeError {
    /// No `SCHED_FIFO`.
    #[error(
        "the judge is not allowed to go before others ({0}): \
         give it CAP_SYS_NICE, or a busy machine may cost it its lease"
    )]
    Scheduler(io::Error),
    /// Its memory may be paged out.
    #[error(
        "the judge is not allowed to lock its memory ({0}): \
         give it CAP_IPC_LOCK, or a slow disk may cost it its lease"
    )]
    Memory(io::Error),
}

/// Lets the calling thread run as soon as it can, before all ordinary ones. Processes that it starts are ordinary.
///
/// # Errors
/// Not permitted.
#[allow(unsafe_code, reason = "neither the standard library nor rustix sets a thread's scheduling")]
pub fn go_first() -> Result<(), RealtimeError> {
    // SAFETY: plain numbers, and zero is a value of each of them.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = PRIORITY;
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the structure lives as long as the call; 0 means the calling thread.
    match unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(RealtimeError::Scheduler(io::Error::last_os_error())),
    }
}

/// Keeps all memory of this process in memory, also what it will ask for.
///
/// # Errors
/// Not permitted, or there is not enough.
pub fn stay_in_memory() -> Result<(), RealtimeError> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)
        .map_err(|error| RealtimeError::Memory(error.into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    /// Field 41 of proc_pid_stat(5), counted behind the name: what the kernel schedules the thread by.
    fn policy() -> String {
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
        stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap().to_owned()
    }

    /// FO-3: the judge's thread goes first, and no other one of the process; or it is told that it may not.
    #[test]
    fn one_thread_goes_first() {
        let went = thread::spawn(|| (go_first(), policy())).join().unwrap();
        match went {
            (Ok(()), policy) => assert_eq!(policy, "1"),
            (Err(RealtimeError::Scheduler(error)), policy) => {
                assert_eq!((error.raw_os_error(), policy.as_str()), (Some(libc::EPERM), "0"));
            }
            (Err(other), _) => panic!("{other}"),
        }
        assert_eq!(policy(), "0");
    }
}
