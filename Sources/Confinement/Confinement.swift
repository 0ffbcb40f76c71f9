internal import CLinux
internal import Glibc
internal import LinuxIO
package import Logging
internal import SystemPackage

/// The restrictions of a server once it is ready: it may serve, and do what its options ask for. Everything else is
/// denied to the whole process, also to code that an attacker runs in it.
package struct Confinement: Sendable {
    /// Whether the server confines itself.
    package var mode: SandboxMode
    /// The files that the server may still open. Open descriptors are not affected.
    package var files: [FileAccess]
    /// The user that the server switches to; nil to keep the one that started it.
    package var user: ServerUser?
    /// The files that this user must be able to use.
    package var neededFiles: [NeededFile] = []
    /// Whether it thaws a file system after its supervisor has died.
    package var thaws: Bool
    /// Returns the pid of the command to which the server sends signals; nil when there is none.
    package var command: @Sendable () -> Int32?

    package init(
        mode: SandboxMode, files: [FileAccess] = [], thaws: Bool = false,
        command: @escaping @Sendable () -> Int32? = { nil }
    ) {
        self.mode = mode
        self.files = files
        self.thaws = thaws
        self.command = command
    }

    /// The kernel's files that a server reads repeatedly: the available memory, and its own use of memory. libdispatch
    /// reads the states of its threads, each in a directory of /proc that appears with the thread. Secrets in /proc
    /// stay protected: reading them takes a capability, or the right to trace the process, which Landlock denies.
    private static let ownFiles: [FileAccess] = [
        .reading("/proc"), .reading("/sys/fs/cgroup"), .reading("/sys/devices/system/cpu"),
    ]

    /// Confines all threads of this process until it ends. Logs a warning for each part that the kernel does not have,
    /// or does not permit.
    ///
    /// - Returns: the parts in force: `seccomp` or `landlock:` with the version of its interface, or both with a comma;
    /// `log`; or `off`.
    package func apply(logger: Logger) -> String {
        switch mode {
        case .off: return "off"
        case .log:
            return attempt("nothing is logged", logger) { () throws(Errno) in try filter() }
                ? "log" : "off"
        case .on: break
        }
        // Before Landlock denies reading it.
        tzset()
        let reports = attempt("refused calls would end the process", logger) {
            () throws(Errno) in try RefusedCalls.report(to: logger)
        }
        let landlock = restrictThreads(logger)
        let isFiltered =
            reports
            && attempt("the server may make every system call", logger) { () throws(Errno) in
                try filter()
            }
        let parts = (isFiltered ? ["seccomp"] : []) + (landlock.map { ["landlock:\($0)"] } ?? [])
        return parts.isEmpty ? "off" : parts.joined(separator: ",")
    }

    /// Restricts every thread of the process, and the threads that they start later, to ``capabilities`` and ``files``.
    /// Returns the version of Landlock's interface; nil without Landlock.
    private func restrictThreads(_ logger: Logger) -> Int? {
        let version = Landlock.version
        if version == 0 {
            logger.notice(
                "this kernel has no Landlock, so the server may reach every file that its user may")
        }
        let isDone = attempt("the server may reach every file that its user may", logger) {
            () throws(Errno) in
            guard version > 0 else {
                try checked(clinux_restrict_threads(-1, capabilities))
                return
            }
            let ruleset = try Landlock.ruleset(
                allowing: Self.ownFiles + files, sendsSignals: command() != nil)
            try checked(clinux_restrict_threads(ruleset.rawValue, capabilities))
        }
        return isDone && version > 0 ? version : nil
    }

    /// The capabilities that a server started by root keeps: for the files that Landlock allows, for locking memory and
    /// for scheduling threads. Thawing a file system takes `CAP_SYS_ADMIN`. capabilities(7)
    private var capabilities: UInt64 {
        // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, IPC_LOCK, SYS_NICE and SYS_RESOURCE
        // KILL: the command of `run` may have become another user.
        let kept =
            [0, 1, 2, 3, 14, 23, 24] + (thaws ? [21] : []) + (command() != nil ? [5] : [])
        return kept.reduce(0) { $0 | 1 << UInt64($1) }
    }

    private func filter() throws(Errno) {
        let filter = try SystemCallFilter(isLogging: mode == .log)
        try filter.addRules(
            opensForWriting: files.contains(where: \.writes), command: command(), thaws: thaws)
        try filter.load()
    }

    /// Applies one part. Returns whether it is in force.
    private func attempt(
        _ consequence: Logger.Message, _ logger: Logger, _ part: () throws(Errno) -> Void
    ) -> Bool {
        do throws(Errno) {
            try part()
            return true
        } catch {
            logger.warning(
                "the sandbox is not complete: \(consequence)", metadata: ["error": "\(error)"])
            return false
        }
    }
}
