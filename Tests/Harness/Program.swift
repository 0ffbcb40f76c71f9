internal import Glibc
internal import Subprocess
internal import SystemPackage

/// A program on this machine.
public struct Program: Sendable {
    /// Its name, found in PATH, or its path.
    public let name: String
    /// The Debian package that contains it.
    public let package: String

    /// A program from a Debian package. It is searched for when it is run.
    public init(_ name: String, package: String) {
        self.name = name
        self.package = package
    }

    /// The status and the output of a program that has ended.
    public struct Ending: Sendable {
        /// How it ended.
        public let status: Exit
        /// What it wrote to standard output.
        public let output: String
        /// What it wrote to standard error.
        public let errors: String
    }

    /// Runs the program and returns its standard output. Throws unless it exits with status 0.
    @discardableResult
    public func callAsFunction(
        _ arguments: String..., within limit: Duration = .seconds(60)
    ) async throws -> String {
        try await self(arguments, within: limit)
    }

    /// The same, for an array of arguments.
    @discardableResult
    public func callAsFunction(
        _ arguments: [String], within limit: Duration = .seconds(60)
    ) async throws -> String {
        let ending = try await run(arguments, within: limit)
        guard ending.status.isSuccess else {
            throw TestError(
                "\(name) \(arguments.joined(separator: " ")): \(ending.status)\n"
                    + ending.output + ending.errors)
        }
        return ending.output
    }

    /// Runs the program and returns how it ended. After the limit, ends it and throws.
    public func run(
        _ arguments: [String], within limit: Duration = .seconds(60), as user: User = .same
    ) async throws -> Ending {
        let path = try requires(name, package: package)
        let reachable: ReachableProgram? =
            if case .unprivileged = user { try ReachableProgram(path) } else { nil }
        // The copy stays until the program has ended.
        defer { withExtendedLifetime(reachable) {} }
        return try await withThrowingTaskGroup(of: Ending?.self) { group in
            group.addTask { try await execute(reachable?.path ?? path, arguments, user) }
            group.addTask {
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            guard case .some(.some(let ending)) = try await group.next() else {
                throw TestError("\(name) \(arguments.joined(separator: " ")) took over \(limit)")
            }
            return ending
        }
    }

    private func execute(
        _ path: String, _ arguments: [String], _ user: User
    ) async throws -> Ending {
        let result = try await Subprocess.run(
            .path(FilePath(path)), arguments: Arguments(arguments),
            platformOptions: user.options, output: .string(limit: 4 << 20),
            error: .string(limit: 4 << 20))
        return Ending(
            status: Exit(result.terminationStatus), output: result.standardOutput,
            errors: result.standardError)
    }
}

/// How a process ended.
public enum Exit: Sendable, Equatable {
    /// With an exit code.
    case exited(Int32)
    /// By a signal.
    case signalled(Int32)

    /// Whether the exit code is 0.
    public var isSuccess: Bool { self == .exited(0) }

    init(_ status: TerminationStatus) {
        self =
            switch status {
            case .exited(let code): .exited(code)
            case .signaled(let number): .signalled(number)
            }
    }
}

/// The user that runs a program.
public enum User: Sendable {
    /// The user that runs the tests.
    case same
    /// A user without privileges: "nobody" if root runs the tests, else the same user.
    case unprivileged

    /// Platform options for this user. The program gets time to end after SIGTERM.
    var options: PlatformOptions {
        var options = PlatformOptions()
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: .seconds(3))]
        if case .unprivileged = self, geteuid() == 0 {
            options.userID = 65534
            options.groupID = 65534
            options.supplementaryGroups = []
        }
        return options
    }
}

/// Returns the path of a program that a test needs. The test fails if it is missing, so that nothing untested
/// looks tested.
///
/// `RAMDISK_NBD_PEERS` names a folder whose programs are used in place of this machine's, such as the one that
/// `scripts/lib/newest-peers` makes.
public func requires(_ name: String, package: String) throws(TestError) -> String {
    if let peers = unsafe getenv("RAMDISK_NBD_PEERS"), let file = name.split(separator: "/").last {
        let path = unsafe "\(String(cString: peers))/\(file)"
        if unsafe access(path, X_OK) == 0 { return path }
    }
    guard !name.contains("/") else {
        guard unsafe access(name, X_OK) == 0 else {
            throw TestError("\(name) is missing; install Debian's package \(package)")
        }
        return name
    }
    let folders = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
    for folder in folders.split(separator: ":") where unsafe access("\(folder)/\(name)", X_OK) == 0
    {
        return "\(folder)/\(name)"
    }
    throw TestError("\(name) is missing; install Debian's package \(package)")
}
