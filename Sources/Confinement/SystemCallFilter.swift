internal import CSeccomp
internal import Glibc
internal import LinuxIO
internal import SystemPackage

/// A filter of the system calls of all threads of this process until it ends. seccomp(2), libseccomp
@safe struct SystemCallFilter: ~Copyable {
    /// A condition on one argument of a call.
    private struct Argument {
        let index: UInt32
        /// The bits that are compared.
        let mask: UInt64
        let value: UInt64

        var comparison: scmp_arg_cmp {
            scmp_arg_cmp(
                arg: index, op: SCMP_CMP_MASKED_EQ, datum_a: mask, datum_b: value)
        }
    }

    /// Bits of an argument that is an `int` in C: the rest of the register is not defined.
    private static let int: UInt64 = 0xffff_ffff

    private let context: scmp_filter_ctx
    /// Whether refused calls are allowed and logged by the kernel.
    private let isLogging: Bool

    /// An empty filter, which refuses everything.
    init(isLogging: Bool) throws(Errno) {
        let action = isLogging ? SCMP_ACT_LOG : SCMP_ACT_TRAP
        guard let context = unsafe seccomp_init(action) else { throw .noMemory }
        unsafe self.context = context
        self.isLogging = isLogging
    }

    deinit { unsafe seccomp_release(context) }

    /// Adds the rules of a server.
    ///
    /// - Parameters:
    ///   - opensForWriting: whether it opens files for writing. Landlock limits which.
    ///   - command: the pid of a command that it sends signals to.
    ///   - thaws: whether it thaws a file system.
    func addRules(opensForWriting: Bool, command: Int32?, thaws: Bool) throws(Errno) {
        for name in SystemCalls.allowed { try allow(name) }
        // With MSG_FASTOPEN they would connect, which neither the filter of connect(2) nor Landlock sees.
        for (name, flags) in SystemCalls.sending {
            try allow(name, Argument(index: flags, mask: UInt64(MSG_FASTOPEN), value: 0))
        }
        for (rank, name) in SystemCalls.hot.reversed().enumerated() {
            let number = unsafe seccomp_syscall_resolve_name(name)
            if number >= 0 {
                _ = unsafe seccomp_syscall_priority(context, number, UInt8(200 + rank))
            }
        }
        for name in SystemCalls.absent { try add(cseccomp_errno(UInt16(ENOSYS)), name) }
        if !isLogging {
            for name in SystemCalls.fatal { try add(SCMP_ACT_KILL_PROCESS, name) }
        }
        try addThreads(command: command)
        try addFiles(opensForWriting: opensForWriting)
        try addRequests(thaws: thaws)
        guard !isLogging else { return }
        // Refused without a log line: swift-nio probes for UDP options, and libdispatch reports to syslog(3) that an
        // unprivileged user may not raise priorities. Both continue when the call fails.
        for family in [AF_INET, AF_UNIX] {
            try add(
                cseccomp_errno(UInt16(EPERM)), "socket",
                Argument(index: 0, mask: Self.int, value: UInt64(family)),
                Argument(index: 1, mask: 0xf, value: UInt64(SOCK_DGRAM.rawValue)))
        }
    }

    /// Threads and signals of this process, and signals to a command.
    private func addThreads(command: Int32?) throws(Errno) {
        let isThread = UInt64(CLONE_THREAD)
        // Without CLONE_THREAD it would be a process; the rest are new namespaces.
        try allow("clone", Argument(index: 0, mask: isThread | Self.namespaces, value: isThread))
        if !isLogging {
            // Refused without a log line: posix_spawn(3) blocks SIGSYS, so a logged refusal would end the process.
            let isProcess = Argument(index: 0, mask: isThread, value: 0)
            try add(cseccomp_errno(UInt16(EPERM)), "clone", isProcess)
            for name in ["fork", "vfork"] { try add(cseccomp_errno(UInt16(EPERM)), name) }
        }
        let own = UInt64(getpid())
        for process in [own] + (command.map { [UInt64($0)] } ?? []) {
            try allow("kill", Argument(index: 0, mask: Self.int, value: process))
        }
        try allow("tgkill", Argument(index: 0, mask: Self.int, value: own))
        for name in ["sched_setaffinity", "sched_setscheduler", "sched_setattr"] {
            // The calling thread.
            try allow(name, Argument(index: 0, mask: Self.int, value: 0))
        }
        // Only the calling thread. libdispatch makes this call.
        try allow(
            "setpriority", Argument(index: 0, mask: Self.int, value: UInt64(PRIO_PROCESS.rawValue)),
            Argument(index: 1, mask: Self.int, value: 0))
        // Only to read a limit.
        try allow(
            "prlimit64", Argument(index: 0, mask: Self.int, value: 0),
            Argument(index: 2, mask: .max, value: 0))
        for option in [PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, Self.setMemoryName] {
            try allow("prctl", Argument(index: 0, mask: Self.int, value: UInt64(option)))
        }
    }

    /// prctl(2), `PR_SET_VMA`, which the C library of Debian 12 does not declare.
    private static let setMemoryName: Int32 = 0x5356_4d41
    /// clone(2): `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID` and `NEWNET`.
    private static let namespaces: UInt64 = 0x7e02_0000

    /// Files that are opened, and memory that is mapped.
    private func addFiles(opensForWriting: Bool) throws(Errno) {
        let creates = UInt64(O_CREAT) | Self.unnamed
        let changes = opensForWriting ? creates : creates | UInt64(O_ACCMODE | O_TRUNC)
        for (name, index) in [("open", UInt32(1)), ("openat", 2)] {
            try allow(name, Argument(index: index, mask: changes, value: 0))
            if opensForWriting { try allow(name, Self.isOrdinary(mode: index + 1)) }
        }
        try allow("fchmod", Self.isOrdinary(mode: 1))
        for name in ["mmap", "mprotect"] {
            // Not executable memory.
            try allow(name, Argument(index: 2, mask: UInt64(PROT_EXEC), value: 0))
        }
    }

    /// The bit of `O_TMPFILE` that is not `O_DIRECTORY`. open(2)
    private static let unnamed: UInt64 = 0o20_000_000

    /// A condition that a mode has neither the set-user-ID nor the set-group-ID bit.
    private static func isOrdinary(mode index: UInt32) -> Argument {
        Argument(index: index, mask: UInt64(S_ISUID | S_ISGID), value: 0)
    }

    /// Requests of ioctl(2) and fcntl(2).
    private func addRequests(thaws: Bool) throws(Errno) {
        // TCGETS, TIOCGPGRP, TIOCOUTQ, TIOCGWINSZ, FIONREAD and FIONBIO, the same on every processor that Swift
        // supports.
        var requests: [UInt64] = [0x5401, 0x540f, 0x5411, 0x5413, 0x541b, 0x5421]
        // FITHAW
        if thaws { requests.append(0xc004_5878) }
        for request in requests {
            try allow("ioctl", Argument(index: 1, mask: Self.int, value: request))
        }
        // F_DUPFD to F_SETLKW; the locks of open files; F_DUPFD_CLOEXEC to F_GET_SEALS, without F_NOTIFY and the calls
        // after which the kernel sends signals.
        for command in Array(0...7) + Array(36...38) + Array(1030...1034) {
            try allow("fcntl", Argument(index: 1, mask: Self.int, value: UInt64(command)))
        }
    }

    /// Puts the filter in force, for all threads.
    func load() throws(Errno) {
        // A binary tree instead of a list: older kernels run the filter for each call.
        _ = unsafe seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2)
        try check(unsafe seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS))
        try check(unsafe seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1))
        try check(unsafe seccomp_load(context))
    }

    private func allow(_ name: String, _ arguments: Argument...) throws(Errno) {
        try add(SCMP_ACT_ALLOW, name, arguments)
    }

    private func add(_ action: UInt32, _ name: String, _ arguments: Argument...) throws(Errno) {
        try add(action, name, arguments)
    }

    private func add(_ action: UInt32, _ name: String, _ arguments: [Argument]) throws(Errno) {
        let number = unsafe seccomp_syscall_resolve_name(name)
        // Negative for calls of other processors.
        guard number >= 0 else { return }
        let comparisons = arguments.map(\.comparison)
        try check(
            unsafe seccomp_rule_add_array(
                context, action, number, UInt32(comparisons.count), comparisons))
    }

    /// Throws the error of a negative result of libseccomp.
    private func check(_ result: CInt) throws(Errno) {
        if result < 0 { throw Errno(rawValue: -result) }
    }

    // MARK: - Names

    /// Returns the name of a system call; its number when libseccomp does not know it.
    static func name(of number: UInt32) -> String {
        guard
            let name = unsafe seccomp_syscall_resolve_num_arch(
                seccomp_arch_native(), CInt(bitPattern: number))
        else { return "\(number)" }
        // Sound: libseccomp has allocated the text, and the caller frees it.
        defer { unsafe free(name) }
        return unsafe String(cString: name)
    }

    /// Returns, for each number, whether the call is refused with EPERM and not with ENOSYS.
    static func refusedTable() -> [UInt8] {
        var table = [UInt8](repeating: 0, count: 1024)
        for name in SystemCalls.refused {
            let number = Int(unsafe seccomp_syscall_resolve_name(name))
            if table.indices.contains(number) { table[number] = 1 }
        }
        return table
    }
}
