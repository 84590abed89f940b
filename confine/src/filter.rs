//! The filter as the kernel runs it at each system call.

use std::env::consts::ARCH;

use libc::c_long;
use seccompiler::{BackendError, BpfProgram, SeccompAction, SeccompFilter, sock_filter};

use crate::Needs;
use crate::forbidden::rules;

/// The newest system call that this program can know of: Linux 6.12's last. Later ones get the answer of a kernel that
/// does not have them, which every C library understands.
pub(crate) const NEWEST: c_long = libc::SYS_mseal;

/// From here on numbers are of x32, a second set of numbers for the calls of x86-64; the architecture is the same.
const X32: u32 = 0x4000_0000;

/// Where `struct seccomp_data` has the call's number.
const NUMBER: u32 = 0;

/// The whole filter: first what `seccompiler` has no words for, which can only refuse, then its program.
pub(crate) fn program(needs: Needs) -> Result<BpfProgram, BackendError> {
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules(needs)?, SeccompAction::Allow, refused, ARCH.try_into()?)?;
    let mut program = prelude();
    program.append(&mut filter.try_into()?);
    Ok(program)
}

/// x32 ends the process. For clone3, whose flags no filter can see, and for what is newer than this program the kernel
/// is one that has no such call: libraries then use clone, or what was there before.
fn prelude() -> BpfProgram {
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        unless(libc::BPF_JGE, X32),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        unless(libc::BPF_JGT, number(NEWEST)),
        answer(absent),
        unless(libc::BPF_JEQ, number(libc::SYS_clone3)),
        answer(absent),
    ]
}

fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

/// Leaves the next instruction out unless the number compares so.
fn unless(comparison: u32, with: u32) -> sock_filter {
    sock_filter { jf: 1, ..statement(libc::BPF_JMP | comparison | libc::BPF_K, with) }
}

fn answer(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

fn statement(code: u32, k: u32) -> sock_filter {
    // Codes of classic BPF are a byte.
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}
