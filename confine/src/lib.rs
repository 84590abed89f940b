//! A daemon confines itself: from then on neither it nor a program it starts can do what it never does, so that who
//! takes it over by a fault of it gets no further into the machine.
//!
//! Done by the kernel (seccomp, see seccomp(2)), for good, in all threads and in every process they start:
//!
//! | what | answer |
//! |---|---|
//! | mounts, namespaces, modules, clocks, other processes' memory, other users … (`forbidden.rs`) | EPERM |
//! | sockets of other families than UNIX, IPv4, IPv6, netlink, and packets where told | EPERM |
//! | starting programs, where told | EPERM |
//! | clone3, and calls that came after Linux 6.12 | ENOSYS, as an older kernel answers |
//! | calls by the numbers of another architecture, or of x32 | the process ends by SIGSYS |
//!
//! No program that is started gains privileges by its file (no_new_privs).

mod filter;
mod forbidden;

use std::io;

use seccompiler::BackendError;

/// What a daemon does beyond what all do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Starts programs.
    pub programs: bool,
    /// Sends and hears packets below IP (`AF_PACKET`).
    pub packets: bool,
}

/// Why the process is not confined. It can go on as it is: the user it runs as, and its capabilities, bound it still.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// No filters in this kernel, or somebody outside refuses them.
    #[error(
        "{0}; use a kernel with CONFIG_SECCOMP_FILTER, and let seccomp(2) through where a sandbox is around it"
    )]
    Kernel(io::Error),
    /// A thread has a filter of its own already.
    #[error("thread {0} has a filter that another part of the process gave it")]
    Thread(i64),
    /// A defect of this program, or a processor that it was not made for.
    #[error("no filter can be made: {0}")]
    Filter(#[from] BackendError),
}

/// Confines the process for good, threads that run already as well.
///
/// # Errors
/// See [`ConfineError`]; then it is not confined. Whether it still can gain privileges by programs is not said.
pub fn confine(needs: Needs) -> Result<(), ConfineError> {
    let program = filter::program(needs)?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => ConfineError::Kernel(error),
        seccompiler::Error::ThreadSync(thread) => ConfineError::Thread(thread),
        seccompiler::Error::Backend(error) => error.into(),
        // An empty program, or what a later version of the library has.
        other => ConfineError::Kernel(io::Error::other(other.to_string())),
    })
}
