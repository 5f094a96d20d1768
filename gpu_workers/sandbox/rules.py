"""Which system calls a box may make: an allow list, so that a call which the kernel learns next year stays shut.

What is on no list fails with ENOSYS, upon which libraries fall back. Calls that code of good faith tries and can do
without fail with EPERM. `python -m gpu_workers.sandbox.rules` writes the filters that are shipped, with libseccomp; a
test makes them again and compares. Three programs each, and the kernel takes the strictest answer:
`names` is the list, `arguments` looks at flags, `cpu` also takes anonymous files away, whose unmapped pages no watch
on resident memory would see (a GPU's driver needs them).
"""

from __future__ import annotations

import errno
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

FILTERS = Path(__file__).with_name("filters")
MACHINES = ("x86_64", "aarch64")
PROGRAMS = ("names", "arguments", "cpu")
LOW_32_BITS = 0xFFFFFFFF  # all that the kernel looks at in these arguments
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # <asm-generic/ioctls.h>: type into a terminal
AF_UNIX = 1
# <linux/fcntl.h>: locks (also of ranges and of open files), what tells of them, and what tells or wakes by a signal
SET_LOCK, ASK_LOCK, TELL = (6, 7, 37, 38), (5, 36), (10, 1024, 1026)
EVICT = (20, 21, 25)  # <linux/mman.h>, MADV_COLD, MADV_PAGEOUT and MADV_COLLAPSE: they move pages that others read
NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)  # CLONE_NEW*

_ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev pwritev2 open openat openat2 creat close close_range lseek dup
dup2 dup3 pipe pipe2 fcntl fsync fdatasync sync_file_range ftruncate truncate fallocate copy_file_range sendfile
ioctl
stat fstat lstat newfstatat statx access faccessat faccessat2 getdents getdents64 getcwd chdir fchdir rename renameat
renameat2 mkdir mkdirat rmdir unlink unlinkat link linkat symlink symlinkat readlink readlinkat chmod fchmod fchmodat
fchmodat2 chown fchown fchownat lchown umask utime utimes utimensat futimesat statfs fstatfs getxattr lgetxattr
fgetxattr listxattr llistxattr flistxattr
mmap mprotect munmap mremap brk madvise msync mlock mlock2 mlockall munlock munlockall membarrier memfd_create
get_mempolicy
clone fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal getpid
gettid getppid getpgid getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list rseq futex
futex_waitv sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min sched_getattr sched_rr_get_interval getpriority setpriority ioprio_get prctl arch_prctl capget
getuid geteuid getgid getegid getgroups getresuid getresgid prlimit64 getrlimit setrlimit getrusage times uname sysinfo
getcpu getrandom
clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time alarm getitimer setitimer
timerfd_create timerfd_settime timerfd_gettime
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend rt_sigqueueinfo rt_tgsigqueueinfo
sigaltstack pause restart_syscall signalfd signalfd4 eventfd eventfd2
poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_pwait epoll_pwait2
socket socketpair connect bind listen accept accept4 getsockname getpeername sendto recvfrom sendmsg recvmsg sendmmsg
recvmmsg shutdown setsockopt getsockopt
"""

_REFUSED = """
ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise
unshare setns mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr
name_to_handle_at open_by_handle_at
bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register add_key request_key keyctl
kexec_load kexec_file_load init_module finit_module delete_module acct swapon swapoff reboot sethostname setdomainname
settimeofday clock_settime clock_adjtime adjtimex vhangup iopl ioperm modify_ldt lookup_dcookie
mknod mknodat setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr personality
setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset quotactl quotactl_fd syslog
mbind set_mempolicy set_mempolicy_home_node migrate_pages move_pages sched_setaffinity sched_setscheduler
sched_setparam sched_setattr ioprio_set
shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl timer_create
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr fanotify_init fanotify_mark
"""

ALLOWED, REFUSED = tuple(_ALLOWED.split()), tuple(_REFUSED.split())
# Succeed, and do nothing: advice on the page cache, and locks on files that other boxes read too, are channels.
IGNORED = ("fadvise64", "readahead", "flock")
NO_SUCH_FLAG = ("preadv2",)  # RWF_NOWAIT tells what lies in the page cache; the C library then takes preadv


def program(name: str, machine: str) -> bytes:
    """The BPF of one of `PROGRAMS`, made with libseccomp. Needs `pyseccomp`, which is no dependency of the box."""
    seccomp: Any = import_module("pyseccomp")
    arch = {"x86_64": seccomp.Arch.X86_64, "aarch64": seccomp.Arch.AARCH64}[machine]
    default = seccomp.ERRNO(errno.ENOSYS) if name == "names" else seccomp.ALLOW
    made = seccomp.SyscallFilter(default)
    if arch != seccomp.system_arch():
        made.add_arch(arch)
        made.remove_arch(seccomp.system_arch())
    made.set_attr(seccomp.Attr.CTL_OPTIMIZE, 2)  # a tree, not a list of 300 comparisons
    for action, call, *conditions in _rules(name, seccomp):
        made.add_rule(action, call, *conditions)
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        file.seek(0)
        return file.read()


def _rules(name: str, seccomp: Any) -> list[tuple[Any, ...]]:
    if name == "names":
        kinds = ((seccomp.ALLOW, ALLOWED), (seccomp.ERRNO(errno.EPERM), REFUSED), (seccomp.ERRNO(0), IGNORED),
                 (seccomp.ERRNO(errno.EOPNOTSUPP), NO_SUCH_FLAG))
        return [(action, call) for action, calls in kinds for call in calls]
    if name == "cpu":
        return [(seccomp.ERRNO(errno.ENOSYS), "memfd_create")]
    refused, masked = seccomp.ERRNO(errno.EPERM), seccomp.MASKED_EQ
    typing = [(refused, "ioctl", seccomp.Arg(1, masked, LOW_32_BITS, request)) for request in (TIOCSTI, TIOCLINUX)]
    spaces = [(refused, "clone", seccomp.Arg(0, masked, flag, flag)) for flag in NEW_NAMESPACES]
    families = [(seccomp.ERRNO(errno.EAFNOSUPPORT), call, seccomp.Arg(0, seccomp.NE, AF_UNIX))
                for call in ("socket", "socketpair")]
    locks = [(answer, "fcntl", seccomp.Arg(1, masked, LOW_32_BITS, command))
             for answer, commands in ((seccomp.ERRNO(0), SET_LOCK), (refused, (*ASK_LOCK, *TELL)))
             for command in commands]
    pages = [(seccomp.ERRNO(errno.EINVAL), "madvise", seccomp.Arg(2, masked, LOW_32_BITS, advice)) for advice in EVICT]
    return [*typing, *spaces, *families, *locks, *pages]


def path(name: str, machine: str) -> Path:
    return FILTERS / f"{machine}-{name}.bpf"


def main() -> None:
    for machine in MACHINES:
        for name in PROGRAMS:
            path(name, machine).write_bytes(program(name, machine))


if __name__ == "__main__":
    main()
