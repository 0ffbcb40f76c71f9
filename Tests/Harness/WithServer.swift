internal import Glibc
internal import Subprocess
internal import SystemPackage

/// How a server is started, and how it must end.
public struct ServerStart: Sendable {
    /// Where a server listens, besides the addresses in its arguments.
    public enum Address: Sendable {
        /// On a Unix socket in its directory.
        case unix
        /// On any free port of localhost, over IPv4 and IPv6.
        case tcp
        /// Only on the addresses in its arguments.
        case asTold
    }

    let address: Address
    let shell: String
    let isSilent: Bool
    let ending: Exit
    let mayRefuseCalls: Bool

    /// By default: on a Unix socket, without a shell's redirections, and with exit status 0.
    ///
    /// - Parameters:
    ///   - address: where it listens.
    ///   - shell: a shell command that replaces the shell with the server, which is `"$@"`.
    ///   - isSilent: whether its ready lines cannot be seen, so that it counts as ready when it accepts a client.
    ///   - ending: how the process must end.
    ///   - mayRefuseCalls: whether the server's sandbox may refuse system calls. In any other test that is a mistake.
    public init(
        _ address: Address = .unix, shell: String = #"exec "$@""#, isSilent: Bool = false,
        ending: Exit = .exited(0), mayRefuseCalls: Bool = false
    ) {
        self.mayRefuseCalls = mayRefuseCalls
        self.address = address
        self.shell = shell
        self.isSilent = isSilent
        self.ending = ending
    }
}

/// Runs a test against a server, and then stops the server with SIGTERM if it must exit with status 0.
///
/// It throws what the test throws. It also throws when the server is not ready or does not end in time, or ends
/// in another way than it must. In every case, the process has ended and its files are removed on return.
@discardableResult
public func withServer<Result: Sendable>(
    _ arguments: String..., start: ServerStart = ServerStart(),
    test: @Sendable (ServerProcess) async throws -> Result
) async throws -> Result {
    try await withServer(arguments, start: start, test: test)
}

/// The same, for an array of arguments.
@discardableResult
public func withServer<Result: Sendable>(
    _ arguments: [String], start: ServerStart = ServerStart(),
    test: @Sendable (ServerProcess) async throws -> Result
) async throws -> Result {
    let directory = try TemporaryDirectory()
    let output = try create(directory.file("output"))
    let log = try create(directory.file("log"))
    let began = ContinuousClock.now
    let run = try await Subprocess.run(
        configuration(arguments, start, directory), input: .none,
        output: .fileDescriptor(output, closeAfterSpawningProcess: true),
        error: .fileDescriptor(log, closeAfterSpawningProcess: true)
    ) { execution in
        let process = execution.processIdentifier
        try await waitUntilReady(process.processDescriptor, start, directory)
        let server = ServerProcess(
            pid: process.value, directory: directory, startDuration: .now - began,
            descriptor: process.processDescriptor)
        let result = try await test(server)
        if start.ending == .exited(0), !server.hasEnded { server.signal(SIGTERM) }
        try await server.ends()
        return result
    }
    let ending = Exit(run.terminationStatus)
    guard ending == start.ending else {
        throw TestError(
            "the server ended with \(ending), not \(start.ending); its log:\n"
                + text(of: directory.file("log")))
    }
    let lines = text(of: directory.file("log"))
    guard start.mayRefuseCalls || !lines.contains("the sandbox has refused") else {
        throw TestError("the server's sandbox has refused a system call; its log:\n" + lines)
    }
    return run.closureResult
}

private func configuration(
    _ arguments: [String], _ start: ServerStart, _ directory: TemporaryDirectory
) throws(TestError) -> Configuration {
    let address =
        switch start.address {
        case .unix: ["--unix", directory.file("nbd.sock")]
        case .tcp: ["--listen", "localhost:0"]
        case .asTold: [String]()
        }
    let program = try requires(Program.ramdiskNBD.name, package: Program.ramdiskNBD.package)
    return Configuration(
        executable: .path("/bin/sh"),
        arguments: Arguments(["-c", start.shell, "sh", program, "serve"] + address + arguments),
        // For its control socket.
        environment: .inherit.updating([
            "RUNTIME_DIRECTORY": directory.file("ramdisk-nbd")
        ]),
        platformOptions: User.same.options)
}

/// Waits until the server has printed its ready lines or, if they cannot be seen, accepts a client.
private func waitUntilReady(
    _ process: Int32, _ start: ServerStart, _ directory: TemporaryDirectory
) async throws {
    let log = directory.file("log")
    try await eventually("the server is ready; its log:\n\(text(of: log))") {
        guard !hasEnded(process) else {
            throw TestError("the server has ended before it was ready; its log:\n\(text(of: log))")
        }
        guard start.isSilent else { return text(of: directory.file("output")).hasSuffix("\n") }
        return (try? RawClient(unix: directory.file("nbd.sock"))) != nil
    }
}

/// Returns whether the process of a descriptor has ended. pidfd_open(2)
func hasEnded(_ process: Int32) -> Bool {
    var entry = pollfd(fd: process, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) == 1
}

private func create(_ path: String) throws -> FileDescriptor {
    try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .truncate, .append, .closeOnExec],
        permissions: [.ownerReadWrite])
}
