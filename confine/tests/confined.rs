//! What the kernel makes of a confined process. Each test confines a process of its own: this program, started again for
//! that test alone.

#![allow(unsafe_code, reason = "system calls by number")]
#![allow(clippy::unwrap_used)]

use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};
use std::sync::mpsc::channel;
use std::thread;

use confine::{Needs, confine};
use libc::c_long;

/// Set in the process that may be confined.
const CHILD: &str = "CONFINE_CHILD";

const ALL: Needs = Needs { programs: true, packets: true };

/// Does `work` in a process of its own.
fn run_apart(test: &str, work: impl FnOnce()) -> Option<Output> {
    if env::var_os(CHILD).is_some() {
        work();
        return None;
    }
    let mut command = Command::new(env::current_exe().unwrap());
    Some(command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap())
}

/// The same for work that must succeed.
fn apart(test: &str, work: impl FnOnce()) {
    if let Some(output) = run_apart(test, work) {
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
    }
}

/// Its error; 0 if it has none.
fn call(number: c_long, arguments: [c_long; 5]) -> i32 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the callers give addresses that the kernel refuses, or none.
    match unsafe { libc::syscall(number, a, b, c, d, e) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(0),
        _ => 0,
    }
}

/// Arguments that are wrong for every call: where it is not refused it does nothing, and answers something else.
const WRONG: [c_long; 5] = [-1; 5];

macro_rules! calls {
    ($($name:ident)*) => { [$((stringify!($name), libc::$name)),*] };
}

#[test]
fn what_is_forbidden_is_refused_and_was_not_before() {
    apart("what_is_forbidden_is_refused_and_was_not_before", || {
        let anybodys =
            calls!(SYS_unshare SYS_setns SYS_personality SYS_ptrace SYS_process_vm_readv SYS_setfsuid);
        let others = calls!(
            SYS_mount SYS_umount2 SYS_move_mount SYS_open_tree SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick
            SYS_mount_setattr SYS_pivot_root SYS_chroot SYS_swapon SYS_swapoff SYS_quotactl SYS_quotactl_fd
            SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_bpf
            SYS_perf_event_open SYS_userfaultfd SYS_acct SYS_syslog SYS_vhangup
            SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register
            SYS_settimeofday SYS_clock_settime SYS_clock_adjtime SYS_adjtimex SYS_sethostname SYS_setdomainname
            SYS_process_vm_writev SYS_kcmp SYS_pidfd_getfd
            SYS_add_key SYS_request_key SYS_keyctl SYS_name_to_handle_at SYS_open_by_handle_at SYS_mknodat
            SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setgroups SYS_setfsgid
        );
        for (name, number) in anybodys {
            assert_ne!(call(number, WRONG), libc::EPERM, "{name}");
        }
        confine(ALL).unwrap();
        for (name, number) in anybodys.into_iter().chain(others) {
            assert_eq!(call(number, WRONG), libc::EPERM, "{name}");
        }
    });
}

/// Calls that x86-64 alone has.
#[cfg(target_arch = "x86_64")]
#[test]
fn ports_of_the_machine_and_calls_of_old_programs_are_refused() {
    apart("ports_of_the_machine_and_calls_of_old_programs_are_refused", || {
        confine(ALL).unwrap();
        let calls = calls!(
            SYS_kexec_file_load SYS_iopl SYS_ioperm SYS_modify_ldt SYS_mknod SYS_uselib SYS_ustat SYS_sysfs SYS__sysctl
        );
        for (name, number) in calls {
            assert_eq!(call(number, WRONG), libc::EPERM, "{name}");
        }
    });
}

#[test]
fn what_daemons_do_goes_on() {
    apart("what_daemons_do_goes_on", || {
        confine(ALL).unwrap();
        let file = env::temp_dir().join(format!("confine-{}", std::process::id()));
        fs::write(&file, "written").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"written");
        fs::remove_file(&file).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        UnixStream::pair().unwrap();
        thread::spawn(|| ()).join().unwrap();
        assert_eq!(call(libc::SYS_socket, [libc::AF_NETLINK.into(), libc::SOCK_RAW.into(), 0, 0, 0]), 0);
        // Without the privilege this is refused by the kernel: as an error that is no family's.
        let packet = call(libc::SYS_socket, [libc::AF_PACKET.into(), libc::SOCK_RAW.into(), 0, 0, 0]);
        // SAFETY: it has no arguments and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        assert_eq!(packet, if is_root { 0 } else { libc::EPERM });
        assert!(Command::new("true").status().unwrap().success());
    });
}

#[test]
fn only_who_needs_programs_and_packets_has_them() {
    apart("only_who_needs_programs_and_packets_has_them", || {
        confine(Needs::default()).unwrap();
        let refused = Command::new("true").status().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
        assert_eq!(call(libc::SYS_execveat, WRONG), libc::EPERM);
        for family in [libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK, libc::AF_CAN, -1] {
            let socket = call(libc::SYS_socket, [family.into(), libc::SOCK_RAW.into(), 0, 0, 0]);
            assert_eq!(socket, libc::EPERM, "family {family}");
        }
        UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0")).unwrap();
    });
}

#[test]
fn a_program_is_confined_as_who_starts_it() {
    apart("a_program_is_confined_as_who_starts_it", || {
        confine(Needs { programs: true, packets: false }).unwrap();
        let status = Command::new("cat").arg("/proc/self/status").output().unwrap();
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nSeccomp:\t2\n"), "{status}");
        assert!(!Command::new("unshare").args(["--user", "true"]).output().unwrap().status.success());
    });
}

#[test]
fn threads_of_before_and_after_are_confined() {
    apart("threads_of_before_and_after_are_confined", || {
        let ((confined, wait), (tell, free)) = (channel(), channel());
        let before = thread::spawn(move || {
            tell.send(call(libc::SYS_personality, WRONG)).unwrap();
            wait.recv().unwrap();
            call(libc::SYS_personality, WRONG)
        });
        assert_ne!(free.recv().unwrap(), libc::EPERM);
        confine(ALL).unwrap();
        confined.send(()).unwrap();
        assert_eq!(before.join().unwrap(), libc::EPERM);
        let after = thread::spawn(|| call(libc::SYS_personality, WRONG));
        assert_eq!(after.join().unwrap(), libc::EPERM);
    });
}

/// By clone, where the flags are seen, and by clone3, where they are not.
#[test]
fn no_process_begins_in_a_namespace_of_its_own() {
    apart("no_process_begins_in_a_namespace_of_its_own", || {
        confine(ALL).unwrap();
        let flags = [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::SIGCHLD,
        ];
        for flags in flags {
            // Together with an impossible flag: where the filter lets it through no process begins.
            let impossible = c_long::from(flags | libc::CLONE_SIGHAND);
            assert_eq!(call(libc::SYS_clone, [impossible, 0, 0, 0, 0]), libc::EPERM, "{flags:#x}");
        }
        assert_eq!(call(libc::SYS_clone, [libc::CLONE_SIGHAND.into(), 0, 0, 0, 0]), libc::EINVAL);
        let arguments: [u64; 8] = [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0, 0, 0];
        let at = arguments.as_ptr() as c_long;
        assert_eq!(call(libc::SYS_clone3, [at, size_of_val(&arguments) as c_long, 0, 0, 0]), libc::ENOSYS);
    });
}

/// A kernel may learn calls that nobody here has thought of.
#[test]
fn later_calls_are_absent() {
    apart("later_calls_are_absent", || {
        confine(ALL).unwrap();
        // open_tree_attr of Linux 6.15 is a mount call; the other is the last that is let through.
        assert_eq!(call(467, WRONG), libc::ENOSYS);
        let mseal = call(libc::SYS_mseal, WRONG);
        assert!([libc::EINVAL, libc::ENOSYS].contains(&mseal), "{mseal}");
    });
}

/// Ended by the filter; nothing is left to go on.
#[cfg(target_arch = "x86_64")]
#[test]
fn another_architectures_calls_end_the_process() {
    let x32 = run_apart("another_architectures_calls_end_the_process", || {
        confine(ALL).unwrap();
        call(0x4000_0000 | libc::SYS_getppid, [0; 5]);
    });
    if let Some(output) = x32 {
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{output:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bits_end_the_process() {
    let i386 = run_apart("calls_of_32_bits_end_the_process", || {
        confine(ALL).unwrap();
        let result: i64;
        // SAFETY: getppid of i386 has no arguments; the kernel keeps all registers but the result's.
        unsafe { std::arch::asm!("int 0x80", inlateout("rax") 64_i64 => result) };
        println!("{result}");
    });
    if let Some(output) = i386 {
        // SIGSEGV where the kernel has no such calls at all.
        let signal = output.status.signal();
        assert!(matches!(signal, Some(libc::SIGSYS | libc::SIGSEGV)), "{output:?}");
    }
}
