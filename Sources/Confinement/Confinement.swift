internal import CLinux
internal import Glibc
internal import LinuxIO
package import Logging
internal import SystemPackage

/// What a server may do once it is ready: serve, and what its options ask for. Everything else is denied to the whole
/// process, also to code that a client would have made it run.
package struct Confinement: Sendable {
    /// Whether the server confines itself.
    package var mode: SandboxMode
    /// The files that it may still reach. Descriptors that are open stay what they are.
    package var files: [FileAccess]
    /// The user that the server switches to; nil to keep the one that started it.
    package var user: ServerUser?
    /// What that user must be able to use.
    package var neededFiles: [NeededFile] = []
    /// Whether it thaws a file system when its supervisor is gone.
    package var thaws: Bool
    /// Returns the pid of the command that it sends signals to; nil when there is none.
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

    /// The kernel's files that a server reads again and again: how much memory is left, and its own use of it. libdispatch
    /// reads the states of its threads, each in a directory of /proc that appears with the thread. What is secret there
    /// stays so: it takes a capability, or the right to trace the process, which Landlock denies.
    private static let ownFiles: [FileAccess] = [
        .reading("/proc"), .reading("/sys/fs/cgroup"), .reading("/sys/devices/system/cpu"),
    ]

    /// Confines this process, all of its threads included, for as long as it lives. Logs a warning for each part that the
    /// kernel does not have, or does not permit.
    ///
    /// - Returns: what is in force: `seccomp`, `landlock:` and the version of its interface, both with a comma; `log`; or
    ///   `off`.
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

    /// Restricts every thread of the process, and those that they start, to some capabilities and files. Returns the version
    /// of Landlock; nil when there is none.
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

    /// The capabilities that a server of root keeps: to reach the files that Landlock leaves it, to lock memory and to
    /// choose how threads run. To thaw a file system takes `CAP_SYS_ADMIN`. capabilities(7)
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

    /// Tries a part. Returns whether it is in force.
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
