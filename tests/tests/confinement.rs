//! Both daemons, as they run, can do no more than they need: whoever takes one over gets no further by the kernel.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::thread;
use std::time::Duration;

use e2e::injection::system_call;
use e2e::pair::ground::Ground;
use e2e::pair::member::Side;
use e2e::pair::process::Process;
use e2e::pair::{Judges, Pair};
use e2e::site::Site;
use e2e::{data, poll};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const REFUSED: i64 = -(libc::EPERM as i64);
/// Of a program without a name.
const NO_NAME: i64 = -(libc::EFAULT as i64);

/// How many threads it has, all of which are confined.
#[track_caller]
fn confined_threads(process: &Process) -> usize {
    let folder = format!("/proc/{}/task", process.pid().as_raw_nonzero());
    let threads = fs::read_dir(folder).unwrap().map(|thread| thread.unwrap().path().join("status"));
    // A thread may end while it is looked at.
    let statuses: Vec<String> = threads.filter_map(|status| fs::read_to_string(status).ok()).collect();
    for status in &statuses {
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nSeccomp:\t2\n"), "{status}");
    }
    statuses.len()
}

/// PORT-19. The pair is well: what the daemons need they have.
#[test]
fn no_thread_of_a_running_daemon_is_without_its_filter() {
    let ground = Ground::new("confine");
    let pair = Pair::start(&ground, 1, Judges::Failover);
    for side in Side::BOTH {
        let member = pair.member(side);
        for process in [&member.service, &member.judge] {
            assert!(confined_threads(process) > 2, "what has one thread shows little");
            let pid = process.pid();
            for number in [libc::SYS_unshare, libc::SYS_mount, libc::SYS_setuid, libc::SYS_ptrace] {
                assert_eq!(system_call(pid, number), REFUSED, "system call {number}");
            }
            assert!(system_call(pid, libc::SYS_getppid) > 0);
        }
        // The judge has nft and smartctl.
        assert_eq!(system_call(member.service.pid(), libc::SYS_execve), REFUSED);
        assert_eq!(system_call(member.judge.pid(), libc::SYS_execve), NO_NAME);
    }
    pair.wait_well();
}

/// Whoever runs a kernel without filters is served, and told.
#[test]
fn a_port_whose_kernel_has_no_filters_serves_and_says_so() {
    let site = Site::start();
    let port = thread::scope(|scope| {
        let inside = scope.spawn(|| {
            // What is started by this thread is answered as by such a kernel.
            apply_filter(&without_filters()).unwrap();
            site.port("port")
        });
        inside.join().unwrap()
    });
    let mut mount = port.mount("/export");
    let root = mount.root();
    mount.put(&root, b"file", &data::bytes(1, 4_096)).unwrap();
    poll::until("the log says so", Duration::from_secs(5), || {
        port.daemon.log_tail().contains("CONFIG_SECCOMP_FILTER").then_some(())
    });
}

fn without_filters() -> BpfProgram {
    let absent = SeccompAction::Errno(libc::EINVAL.unsigned_abs());
    let rules = [(libc::SYS_seccomp, vec![])].into();
    let here = std::env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, absent, here).unwrap().try_into().unwrap()
}
