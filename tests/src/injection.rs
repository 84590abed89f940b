//! A system call in the name of a running process: what it would be answered if somebody had taken it over.

#![allow(unsafe_code, reason = "ptrace(2) is in no safe library")]

use std::io;
use std::mem::zeroed;
use std::ptr::null_mut;

use libc::{c_long, c_void, pid_t, user_regs_struct};
use rustix::process::Pid;

/// The instruction `syscall` of x86-64.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// Has the main thread of `pid`, which waits in a system call, make another one with arguments of zero, and go on as it
/// was: the call's result, or its error, negative.
pub fn system_call(pid: Pid, number: c_long) -> i64 {
    let held = Held::new(pid.as_raw_nonzero().get());
    let before = held.registers();
    let at = before.rip - SYSCALL.len() as u64;
    let word = held.ask(libc::PTRACE_PEEKTEXT, at as *mut c_void, null_mut());
    assert_eq!(word.to_le_bytes()[..2], SYSCALL, "it does not wait in a system call");

    // An original number of -1 says that no call is to be begun again.
    let call = user_regs_struct {
        rip: at,
        rax: number.cast_unsigned(),
        orig_rax: u64::MAX,
        rdi: 0,
        rsi: 0,
        rdx: 0,
        r10: 0,
        r8: 0,
        r9: 0,
        ..before
    };
    held.set_registers(call);
    held.ask(libc::PTRACE_SINGLESTEP, null_mut(), null_mut());
    held.wait();
    let result = held.registers().rax.cast_signed();
    held.set_registers(before);
    result
}

/// A thread that is held still; let go when dropped.
struct Held(pid_t);

impl Held {
    fn new(thread: pid_t) -> Self {
        let held = Self(thread);
        held.ask(libc::PTRACE_ATTACH, null_mut(), null_mut());
        held.wait();
        held
    }

    fn wait(&self) {
        let mut status = 0;
        // SAFETY: the status lives as long as the call.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        assert!(waited == self.0 && libc::WIFSTOPPED(status), "{}", io::Error::last_os_error());
    }

    fn registers(&self) -> user_regs_struct {
        // SAFETY: plain numbers, and zero is a value of each of them.
        let mut registers: user_regs_struct = unsafe { zeroed() };
        self.ask(libc::PTRACE_GETREGS, null_mut(), (&raw mut registers).cast());
        registers
    }

    fn set_registers(&self, mut registers: user_regs_struct) {
        self.ask(libc::PTRACE_SETREGS, null_mut(), (&raw mut registers).cast());
    }

    #[track_caller]
    fn ask(&self, request: libc::c_uint, address: *mut c_void, data: *mut c_void) -> c_long {
        // SAFETY: `data` is none, or a structure of the request's own kind that lives as long as the call.
        let result = unsafe { libc::ptrace(request, self.0, address, data) };
        assert_ne!(result, -1, "{}", io::Error::last_os_error());
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: no structure is handed over. It may have ended meanwhile.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, null_mut::<c_void>(), null_mut::<c_void>()) };
    }
}
