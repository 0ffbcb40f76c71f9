internal import NBDProtocol
internal import ProgramSupport
package import ServerHost
internal import Glibc
internal import LinuxHost
internal import LinuxIO
internal import Logging
internal import NBDKernel
internal import SystemPackage

/// The supervisor's side of a worker: it starts the worker, hands it sockets, and knows which of the
/// connections have ended.
package final class SupervisedDiskServer: DiskServer {
    /// A worker from its start to its end.
    private struct RunningWorker {
        let process: ChildProcess
        let channel: SharedDescriptorChannel
        let began: MonotonicTime
        var ended: Set<UInt64> = []
        var handedOver: UInt64 = 0
    }

    /// The command that starts a worker: the program and its arguments.
    package struct Command: Sendable {
        var program: String
        var arguments: [String]

        package init(program: String, arguments: [String]) {
            self.program = program
            self.arguments = arguments
        }

        /// This program, as the worker of a disk. A disk without a backing gets one with a random name, under which the
        /// next worker finds the memory.
        ///
        /// - Parameter paths: the options that are paths, with absolute ones: this process may start a worker after it has
        ///   changed its directory.
        package init(workerOf disk: inout DiskConfiguration, paths: [String]) {
            program = SelfExecution.path
            arguments = SelfExecution.arguments(role: .worker) + paths
            if disk.backing == nil {
                let name = "up-\(String(UInt64.random(in: .min ... .max), radix: 36))"
                disk.backing = BackingConfiguration(name: name, directory: nil, isKept: false)
                arguments += ["--backing", name]
            }
        }
    }

    /// The time limits of a worker, in milliseconds.
    struct Limits {
        /// To fill a disk, or to save it to its image.
        static let wholeDisk = 3_600_000

        /// From the start of the first worker until it is ready.
        var start = SupervisedDiskServer.restartTimeLimit
        /// From the request to stop until the worker has ended.
        var stop = 30_000

        init() {}

        /// The limits for a disk: filling one takes as long as saving it.
        init(for disk: DiskConfiguration) {
            if disk.isFilled { start = Self.wholeDisk }
        }
    }

    /// The time in milliseconds within which a worker that only provides the memory must be ready, whatever the size of
    /// the disk.
    private static var restartTimeLimit: Int { 120_000 }
    /// The least number of milliseconds between the starts of two workers. A worker that dies sooner is
    /// replaced only after this time.
    private static var restartInterval: Int { 1_000 }

    private let command: Command
    private let limits: Limits
    private let logger: Logger
    private let stop: SupervisorMailbox
    private let freezeFileSystem: FreezeForWorker.Freeze
    private var running: RunningWorker?
    private var generation = 0
    private(set) var saveOutcome: Result<Void, Failure>?
    private var mountPoint: String?
    /// The last freeze that a worker has asked for.
    private var currentFreeze: FreezeForWorker?
    private var notBefore = MonotonicTime.now()
    /// The state of the disk before the first worker. Later workers find what the first one has left.
    private(set) var start = InitialDiskState(isBlank: false, wasFound: false)

    /// Starts the first worker, and waits until it is ready, or until `stop` has a request to stop.
    ///
    /// - Parameter freeze: freezes the file system at a mount point.
    init(
        _ command: Command, limits: Limits = Limits(), logger: Logger, stop: SupervisorMailbox,
        freeze: @escaping FreezeForWorker.Freeze = FrozenFileSystem.freeze(at:)
    ) throws(Failure) {
        self.command = command
        self.limits = limits
        self.logger = logger
        self.stop = stop
        freezeFileSystem = freeze
        try startWorker()
    }

    var worker: ProcessIdentity? {
        running.flatMap { ProcessIdentity(running: $0.process.pid) }
    }

    // MARK: - Connections

    func connect() throws(Failure) -> ServerConnection {
        guard let channel = running?.channel else {
            throw .unavailable("the worker is being restarted")
        }
        let pair = try socketPair()
        // A worker that confines itself may not exceed the system's limit.
        pair.second.handle.setSendBuffer(bytes: 1 << 20)
        do throws(Errno) {
            try channel.socket.send(WorkerMessage.serve.encoded, socket: pair.second.handle)
        } catch {
            throw .unavailable("the worker accepts no connection: \(error)")
        }
        running?.handedOver += 1
        let connectionID = running?.handedOver ?? 0
        // If the supervisor kept its copy open, the end of the worker would not end the connection.
        dispose(of: pair.second)
        return ServerConnection(
            connection: try handshake(pair.first), connectionID: connectionID,
            generation: generation)
    }

    func hasEnded(_ connection: ServerConnection) -> Bool {
        guard connection.generation == generation, let running else { return true }
        return running.ended.contains(connection.connectionID)
    }

    // MARK: - Looking after the worker

    var pollSources: [PollSource] {
        running.map { [.exit($0.process), .input($0.channel.socket.handle)] } ?? []
    }

    var pollTimeout: Int? {
        running == nil ? max(1, notBefore.milliseconds(from: .now())) : nil
    }

    func poll() -> Bool {
        if let running {
            let ready = (try? PollSource.poll(pollSources, milliseconds: 0)) ?? [false, false]
            if ready[1] { receive() }
            guard ready[0] else { return false }
            reap(running)
        }
        guard MonotonicTime.now() >= notBefore else { return false }
        do throws(Failure) {
            try startWorker()
            return true
        } catch {
            logger.error("cannot restart the worker: \(error.sentence)")
            return false
        }
    }

    private func reap(_ running: RunningWorker) {
        let ending = try? running.process.wait()
        let how = ending.map { "\($0)" } ?? "?"
        var metadata: Logger.Metadata = ["pid": "\(running.process.pid)", "ending": "\(how)"]
        if let mountPoint, currentFreeze?.isOver == false { metadata["frozen"] = "\(mountPoint)" }
        logger.warning("the worker has died; starting another", metadata: metadata)
        notBefore = running.began.adding(milliseconds: Self.restartInterval)
        self.running = nil
        currentFreeze?.thaw()
        if saveOutcome == nil {
            saveOutcome = .failure(.unavailable("the worker died while it saved"))
        }
    }

    private func receive() {
        guard let running, let message = try? running.channel.socket.receive() else { return }
        switch WorkerMessage(decoding: message.bytes) {
        case .ended(let connectionID): self.running?.ended.insert(connectionID)
        case .saved(let failure):
            saveOutcome = failure.map { .failure(.inputOutput($0)) } ?? .success(())
        case .freeze(let requestID): freeze(for: requestID, running.channel)
        case .thaw(let requestID):
            if currentFreeze?.requestID == requestID { currentFreeze?.thaw() }
        default: break
        }
    }

    func endByForce() {
        guard let running else { return }
        logger.error(
            "the worker does not end a dead connection; killing it",
            metadata: ["pid": "\(running.process.pid)"])
        running.process.signal(SIGKILL)
    }

    // MARK: - Saving

    func beginSave() {
        guard let running, (try? running.channel.socket.send(WorkerMessage.save.encoded)) != nil
        else {
            saveOutcome = .failure(.unavailable("the worker is being restarted"))
            return
        }
        saveOutcome = nil
    }

    func setMountPoint(_ path: String?) {
        mountPoint = path
        tellMountPoint()
    }

    /// Tells the worker where the file system is, so that the worker can ask for a freeze, and can thaw the file system
    /// after this process has died.
    private func tellMountPoint() {
        // With a path that does not fit into a message, what is saved is what a power cut would leave.
        let path = mountPoint.flatMap { $0.utf8.count <= WorkerMessage.longestText ? $0 : nil }
        try? running?.channel.socket.send(WorkerMessage.mounted(path).encoded)
    }

    /// Freezes the file system for a worker, after the freeze before is over: a dead worker may have asked for that
    /// one. When nothing is mounted, the reply is sent at once.
    private func freeze(for requestID: UInt64, _ channel: SharedDescriptorChannel) {
        let answer: @Sendable (String?) -> Void = { failure in
            try? channel.socket.send(WorkerMessage.frozen(requestID, failure: failure).encoded)
        }
        guard let mountPoint else { return answer(nil) }
        do throws(Errno) {
            currentFreeze = try FreezeForWorker.begin(
                requestID, at: mountPoint, after: currentFreeze, freezeFileSystem,
                onFrozen: answer)
        } catch {
            answer("cannot freeze the file system at \(mountPoint) to save it: \(error)")
        }
    }

    func logMemoryUse() { running?.process.signal(SIGUSR1) }

    // MARK: - Start and stop

    private func startWorker() throws(Failure) {
        notBefore = MonotonicTime.now().adding(milliseconds: Self.restartInterval)
        let pair: DescriptorChannelPair
        do throws(Errno) {
            pair = try DescriptorChannel.pair()
        } catch {
            throw .system("cannot create a socket pair: \(error)")
        }
        let process = try spawn(pair.second.handle)
        let running = RunningWorker(
            process: process, channel: SharedDescriptorChannel(pair.first),
            began: MonotonicTime.now())
        dispose(of: pair.second)
        do throws(Failure) {
            try awaitReady(running)
        } catch {
            process.signal(SIGKILL)
            let ending = try? process.wait()
            // The worker has logged why it could not start.
            if case .exited(let code) = ending, code != 0 {
                throw Failure(Failure.Kind(rawValue: code), "the worker could not start")
            }
            throw error
        }
        generation += 1
        self.running = running
        if mountPoint != nil { tellMountPoint() }
        logger.debug("the worker is ready", metadata: ["pid": "\(process.pid)"])
    }

    private func spawn(_ channel: SocketHandle) throws(Failure) -> ChildProcess {
        let streams: [ChildProcess.Stream] = [
            .null, .standardError, .standardError, .socket(channel),
        ]
        // A newer version may have replaced the program's file, or the file may be gone.
        var reason = Errno.noSuchFileOrDirectory
        for program in [command.program, "/proc/self/exe"] {
            do throws(Errno) {
                // In its own session, the worker does not get the SIGINT of a terminal's Ctrl-C. Only the
                // supervisor does.
                return try ChildProcess(
                    program, command.arguments, streams: streams, ownSession: true)
            } catch {
                reason = error
            }
        }
        throw .system("cannot start the worker: \(reason)")
    }

    private func awaitReady(_ running: RunningWorker) throws(Failure) {
        let isFirst = generation == 0
        let limit = isFirst ? limits.start : Self.restartTimeLimit
        let deadline = MonotonicTime.now().adding(milliseconds: limit)
        var pollSources = [PollSource.input(running.channel.socket.handle)]
        // A later worker is needed to take the disk down.
        if isFirst { pollSources.append(stop.pollSource) }
        while deadline > .now() {
            let milliseconds = deadline.milliseconds(from: .now())
            let ready = try? PollSource.poll(pollSources, milliseconds: milliseconds)
            if isFirst {
                stop.clear()
                if stop.isStopRequested { throw .interrupted(by: stop.signal) }
            }
            guard ready?[0] == true else { continue }
            guard let message = try? running.channel.socket.receive() else {
                _ = try? PollSource.poll([.exit(running.process)], milliseconds: 5_000)
                throw .system("the worker ended before it was ready")
            }
            switch WorkerMessage(decoding: message.bytes) {
            case .ready(let start):
                if generation == 0 { self.start = start }
                return try requireMemory(start, running)
            default: break
            }
        }
        throw .system("the worker was not ready in \(limit / 1_000) seconds")
    }

    /// Checks that a worker that replaces another one serves the same memory. An empty disk under a mounted
    /// file system would be worse than no disk.
    private func requireMemory(_ start: InitialDiskState, _ running: RunningWorker) throws(Failure)
    {
        guard generation > 0, start.identity != self.start.identity else { return }
        // The worker must remove memory that it has created, or the next worker would find that memory.
        // Memory that it has found belongs to another disk.
        let message = start.wasFound ? WorkerMessage.stopAndKeep : .stopAndRemove
        try? running.channel.socket.send(message.encoded)
        _ = try? PollSource.poll([.exit(running.process)], milliseconds: limits.stop)
        throw .unavailable(
            start.wasFound
                ? "another disk has replaced the disk's memory"
                : "the disk's memory is gone: another process has removed it")
    }

    func stop(isKept: Bool) {
        currentFreeze?.end()
        // The worker may have died since the last poll.
        let ended = running.map { PollSource.exit($0.process) }.flatMap {
            try? PollSource.poll([$0], milliseconds: 0)
        }
        if ended?[0] == true {
            _ = try? running?.process.wait()
            running = nil
        }
        let hasStopped = running.map { askToStop($0, isKept: isKept) } ?? false
        // Only a process that has the memory open can release it. So a dead worker is replaced for this, also one that
        // was killed because it did not stop in time: it may have been saving the disk to another file.
        guard !hasStopped, !isKept, (try? startWorker()) != nil, let running else { return }
        _ = askToStop(running, isKept: false)
    }

    /// Asks a worker to stop, and kills it when it does not in time. Returns whether it has done what it was asked to.
    private func askToStop(_ running: RunningWorker, isKept: Bool) -> Bool {
        let message = isKept ? WorkerMessage.stopAndKeep : .stopAndRemove
        try? running.channel.socket.send(message.encoded)
        let pollSources = [PollSource.exit(running.process)]
        let hasEnded = try? PollSource.poll(pollSources, milliseconds: limits.stop)
        if hasEnded?[0] != true {
            logger.warning(
                "the worker does not stop; killing it", metadata: ["pid": "\(running.process.pid)"])
            running.process.signal(SIGKILL)
        }
        let ending = try? running.process.wait()
        self.running = nil
        return ending == .exited(0)
    }
}

/// A descriptor channel that several values share.
final class SharedDescriptorChannel: Sendable {
    let socket: DescriptorChannel

    init(_ socket: consuming DescriptorChannel) { self.socket = socket }
}
