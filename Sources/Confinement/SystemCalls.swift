/// The system calls of a server by name, in classes. docs/guide/security.md explains the classes. A name that
/// libseccomp or this processor does not know is skipped.
///
/// The lists come from the functions of the C library that the server, swift-nio, libdispatch and GnuTLS call. Each
/// test of the program fails when its server logs a refused call. So the lists are complete for what the tests cover,
/// with the C libraries of Debian 12 (2.36) and, for the tests that `scripts/sandbox-test` runs, of unstable (2.43).
enum SystemCalls {
    /// Calls that transfer data. They come first in the filter, which matters only before Linux 5.11: since then the
    /// kernel does not run the filter for a call that is always allowed.
    static let hot = [
        "recvmsg", "sendmsg", "poll", "ppoll", "futex", "epoll_wait", "epoll_pwait", "read",
        "write",
        "clock_gettime",
    ]

    /// Calls that are allowed with any arguments.
    static let allowed =
        (hot + transfer + files + memory + threads + identity + events).filter { name in
            !sending.contains { $0.name == name }
        }

    /// Calls that send on a socket, with the index of the argument that holds the flags.
    static let sending: [(name: String, flags: UInt32)] = [
        ("sendmsg", 2), ("sendmmsg", 3), ("sendto", 3),
    ]

    private static let transfer = [
        "accept", "accept4", "getpeername", "getsockname", "getsockopt", "preadv", "preadv2",
        "pread64",
        "pwrite64", "pwritev", "pwritev2", "readv", "recvfrom", "recvmmsg", "sendmmsg", "sendto",
        "setsockopt",
        "shutdown", "writev",
    ]

    // Landlock limits the paths. The rights of a descriptor were fixed when it was opened.
    private static let files = [
        "access", "close", "close_range", "dup", "dup3", "faccessat", "faccessat2", "fadvise64",
        "fallocate",
        "fchown", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd",
        "getdents64", "lseek", "lstat", "newfstatat", "readlink", "readlinkat", "rename",
        "renameat",
        "renameat2", "rmdir", "stat", "statfs", "statx", "sync_file_range", "umask", "unlink",
        "unlinkat",
    ]

    private static let memory = [
        "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall",
        "mremap",
        "msync", "munlock", "munlockall", "munmap",
    ]

    private static let threads = [
        "exit", "exit_group", "get_robust_list", "restart_syscall", "rseq", "rt_sigaction",
        "rt_sigpending",
        "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
        "sched_get_priority_max",
        "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
        "sched_getscheduler",
        "sched_yield", "set_robust_list", "set_tid_address", "sigaltstack", "wait4", "waitid",
    ]

    private static let identity = [
        "capget", "getcpu", "getegid", "geteuid", "getgid", "getgroups", "getpgid", "getpgrp",
        "getpid",
        "getppid", "getpriority", "getresgid", "getresuid", "getrlimit", "getrusage", "getsid",
        "gettid",
        "getuid", "sysinfo", "times", "uname",
    ]

    private static let events = [
        "clock_getres", "clock_nanosleep", "epoll_create", "epoll_create1", "epoll_ctl",
        "epoll_pwait2", "eventfd2",
        "getrandom", "gettimeofday", "nanosleep", "pipe2", "pselect6", "select", "signalfd4",
        "time",
        "timerfd_create", "timerfd_gettime", "timerfd_settime",
    ]

    /// Calls that the C library tries first and for which it has a fallback. They fail with ENOSYS and no line in the
    /// log. The filter cannot read the arguments of clone3, which are in memory: the C library then uses clone.
    static let absent = [
        "clone3", "openat2", "futex_waitv", "mseal", "map_shadow_stack", "cachestat",
    ]

    /// Calls that no server needs and that an exploit would make first. They kill the process.
    static let fatal = programs + otherProcesses + fileSystems + kernel

    private static let programs = ["execve", "execveat"]

    private static let otherProcesses = [
        "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace",
    ]

    private static let fileSystems = [
        "chroot", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "mount",
        "mount_setattr",
        "move_mount", "open_by_handle_at", "open_tree", "pivot_root", "quotactl", "quotactl_fd",
        "setns",
        "swapoff", "swapon", "umount", "umount2", "unshare",
    ]

    private static let kernel = [
        "acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "create_module",
        "delete_module", "finit_module", "init_module", "io_uring_enter", "io_uring_register",
        "io_uring_setup", "ioperm", "iopl", "kexec_file_load", "kexec_load", "keyctl", "modify_ldt",
        "perf_event_open", "personality", "reboot", "request_key", "sethostname", "setdomainname",
        "settimeofday", "syslog", "userfaultfd", "vhangup",
    ]

    /// Calls that are refused with EPERM and a line in the log: the program must not make them. Calls that are in no
    /// list are refused in the same way, but with ENOSYS.
    static let refused = [
        "bind", "capset", "chmod", "chown", "connect", "creat", "fchmod", "fchmodat", "fchownat",
        "fcntl", "ioctl",
        "kill", "lchown", "link", "linkat", "listen", "mkdir", "mkdirat", "mknod", "mknodat",
        "mmap", "mprotect",
        "open", "openat", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
        "rt_sigqueueinfo",
        "rt_tgsigqueueinfo", "sched_setaffinity", "sched_setattr", "sched_setparam",
        "sched_setscheduler",
        "seccomp", "setfsgid", "setfsuid", "setgid", "setgroups", "setpgid", "setpriority",
        "setregid",
        "setresgid", "setresuid", "setreuid", "setrlimit", "setsid", "setuid", "socket",
        "socketpair",
        "symlink", "symlinkat", "tgkill", "tkill", "truncate",
    ]
}
