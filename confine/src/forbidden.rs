//! What is refused, as a table: system calls that no daemon here needs, nor a program it starts, and that whoever has
//! taken one over would want.
//!
//! A list of what is refused and not of what is allowed: a later C library, allocator or runtime that calls something
//! else goes on working. What a later kernel brings is refused all the same (`filter.rs`).

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{BackendError, SeccompCondition, SeccompRule};

use crate::Needs;

/// Refused whatever the arguments.
pub(crate) const ALWAYS: &[c_long] = &[
    // What is mounted where.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Namespaces; for clone see `rules`.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // The machine's clock and names.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Keys, and files by handles that go past the permissions of folders.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // Device files. Daemons make files by open and sockets by bind.
    libc::SYS_mknodat,
    // To be somebody else.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
];

/// The same for calls that not every processor's Linux has.
#[cfg(target_arch = "x86_64")]
pub(crate) const ALWAYS_HERE: &[c_long] = &[
    libc::SYS_kexec_file_load,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_mknod,
    // Of old programs.
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
pub(crate) const ALWAYS_HERE: &[c_long] = &[];

/// Refused to a daemon that starts no program.
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Flags of clone that make a namespace. CLONE_NEWTIME is none: there that bit belongs to the signal.
const NEW_NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Sockets of all daemons: the network, this machine's processes, and the kernel's answers to names and addresses.
const FAMILIES: &[libc::c_int] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// For each call that is refused the arguments with which it is: none means any, several rules mean one of them.
pub(crate) fn rules(needs: Needs) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let programs = if needs.programs { &[] } else { PROGRAMS };
    let always = ALWAYS.iter().chain(ALWAYS_HERE).chain(programs);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = always.map(|call| (*call, Vec::new())).collect();

    let new_namespace = |flag: &libc::c_int| {
        let flag = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![SeccompCondition::new(0, Dword, MaskedEq(flag), flag)?])
    };
    let clone = NEW_NAMESPACES.iter().map(new_namespace).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_clone, clone);

    let packets = if needs.packets { &[libc::AF_PACKET][..] } else { &[] };
    let other_family =
        |family: &libc::c_int| SeccompCondition::new(0, Dword, Ne, u64::from(family.unsigned_abs()));
    let families = FAMILIES.iter().chain(packets).map(other_family).collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(families)?]);
    Ok(rules)
}
