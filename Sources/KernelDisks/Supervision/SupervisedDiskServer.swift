internal import NBDProtocol
package import ProgramSupport
internal import Glibc
package import LinuxHost
internal import LinuxIO
package import Logging
internal import NBDKernel
internal import SystemPackage

/// The worker's supervisor: has it started, hands it sockets, and knows which of them have ended.
package final class SupervisedDiskServer: DiskServer {
    /// One worker, from its start to its end.
    private struct Life {
        package let process: ChildProcess
        package let control: SharedDescriptorChannel
        package let began: MonotonicTime
        package var ended: Set<UInt64> = []
        package var handedOver: UInt64 = 0
    }

    /// What a worker is started with: the program, and its arguments.
    package struct Command: Sendable {
        package var program: String
        package var arguments: [String]

        package init(program: String, arguments: [String]) {
            self.program = program
            self.arguments = arguments
        }
    }

    /// Milliseconds within which a worker has to be ready, however large the disk.
    private static var startPatience: Int { 120_000 }
    /// A worker that dies sooner is not replaced before this time, in milliseconds, is over.
    private static var shortestLife: Int { 1_000 }
    /// Milliseconds that a worker may take to stop.
    private static var stopPatience: Int { 30_000 }

    private let command: Command
    private let logger: Logger
    private var life: Life?
    private var generation = 0
    private var notBefore = MonotonicTime.now()
    /// Of the first worker: the others find what it has left.
    package private(set) var start = InitialDiskState(isBlank: false, wasFound: false)

    /// Starts the first worker, and waits until it is ready.
    package init(_ command: Command, logger: Logger) throws(Failure) {
        self.command = command
        self.logger = logger
        try startWorker()
    }

    package var worker: ProcessIdentity? {
        life.flatMap { ProcessIdentity(running: $0.process.number) }
    }

    // MARK: - Connections

    package func connect() throws(Failure) -> ServerConnection {
        guard let control = life?.control else {
            throw .unavailable("the disk's server is being started again")
        }
        let pair = try socketPair()
        do throws(Errno) {
            try control.socket.send(WorkerMessage.serve.encoded, socket: pair.second.handle)
        } catch {
            throw .unavailable("the disk's server takes no connection: \(error)")
        }
        life?.handedOver += 1
        let number = life?.handedOver ?? 0
        // Ours has to go, or the end of the worker would not be the end of the connection.
        close(pair.second)
        return ServerConnection(
            connection: try handshake(pair.first), number: number, generation: generation)
    }

    private func close(_ socket: consuming StreamSocket) {}

    package func hasEnded(_ connection: ServerConnection) -> Bool {
        guard connection.generation == generation, let life else { return true }
        return life.ended.contains(connection.number)
    }

    // MARK: - Looking after the worker

    package var items: [PollSource] {
        life.map { [.end($0.process), .input($0.control.socket.handle)] } ?? []
    }

    package var patience: Int? {
        life == nil ? max(1, notBefore.milliseconds(from: .now())) : nil
    }

    package func attend() -> Bool {
        if let life {
            let ready = (try? PollSource.wait(for: items, milliseconds: 0)) ?? [false, false]
            if ready[1] { receive() }
            guard ready[0] else { return false }
            bury(life)
        }
        guard MonotonicTime.now() >= notBefore else { return false }
        do throws(Failure) {
            try startWorker()
            return true
        } catch {
            logger.error("the disk's server cannot be started again: \(error.sentence)")
            return false
        }
    }

    private func bury(_ life: Life) {
        let ending = try? life.process.wait()
        let how = ending.map { "\($0)" } ?? "?"
        logger.warning(
            "the disk's server is gone, another one takes its place",
            metadata: ["pid": "\(life.process.number)", "ending": "\(how)"])
        notBefore = life.began.adding(milliseconds: Self.shortestLife)
        self.life = nil
    }

    private func receive() {
        guard let life, let message = try? life.control.socket.receive() else { return }
        if case .ended(let number) = WorkerMessage(decoding: message.bytes) {
            self.life?.ended.insert(number)
        }
    }

    package func endByForce() {
        guard let life else { return }
        logger.error(
            "the disk's server does not end a dead connection, so it is killed",
            metadata: ["pid": "\(life.process.number)"])
        life.process.signal(SIGKILL)
    }

    package func logFigures() { life?.process.signal(SIGUSR1) }

    // MARK: - Start and stop

    private func startWorker() throws(Failure) {
        notBefore = MonotonicTime.now().adding(milliseconds: Self.shortestLife)
        let pair: DescriptorChannelPair
        do throws(Errno) {
            pair = try DescriptorChannel.pair()
        } catch {
            throw .system("cannot make a pair of sockets: \(error)")
        }
        let process = try spawn(pair.second.handle)
        let life = Life(
            process: process, control: SharedDescriptorChannel(pair.first),
            began: MonotonicTime.now())
        close(pair.second)
        do throws(Failure) {
            try awaitReady(life)
        } catch {
            process.signal(SIGKILL)
            let ending = try? process.wait()
            // It has said by itself why it could not start.
            if case .exited(let code) = ending, code != 0 {
                throw Failure(
                    Failure.Kind(rawValue: code), "the disk's server could not start")
            }
            throw error
        }
        generation += 1
        self.life = life
        logger.debug("the disk's server is ready", metadata: ["pid": "\(process.number)"])
    }

    private func close(_ socket: consuming DescriptorChannel) {}

    private func spawn(_ control: SocketHandle) throws(Failure) -> ChildProcess {
        let streams: [ChildProcess.Stream] = [
            .null, .standardError, .standardError, .socket(control),
        ]
        // The file may have been replaced by a newer version, or removed.
        var reason = Errno.noSuchFileOrDirectory
        for program in [command.program, "/proc/self/exe"] {
            do throws(Errno) {
                // A terminal's Ctrl-C is for the supervisor alone.
                return try ChildProcess(
                    program, command.arguments, streams: streams, ownSession: true)
            } catch {
                reason = error
            }
        }
        throw .system("cannot start the disk's server: \(reason)")
    }

    private func awaitReady(_ life: Life) throws(Failure) {
        let deadline = MonotonicTime.now().adding(milliseconds: Self.startPatience)
        let items = [PollSource.input(life.control.socket.handle)]
        while deadline > .now() {
            let milliseconds = deadline.milliseconds(from: .now())
            guard (try? PollSource.wait(for: items, milliseconds: milliseconds))?[0] == true else {
                continue
            }
            guard let message = try? life.control.socket.receive() else {
                _ = try? PollSource.wait(for: [.end(life.process)], milliseconds: 5_000)
                throw .system("the disk's server ended before it was ready")
            }
            switch WorkerMessage(decoding: message.bytes) {
            case .ready(let start):
                if generation == 0 { self.start = start }
                return try requireMemory(start, life)
            default: break
            }
        }
        throw .system("the disk's server does not get ready")
    }

    /// A worker in the place of another has to find what that one served: an empty disk under a file
    /// system that is mounted would be worse than none.
    private func requireMemory(_ start: InitialDiskState, _ life: Life) throws(Failure) {
        guard generation > 0, start.identity != self.start.identity else { return }
        // What it has made has to go, or the next worker would find that. What it has found has its own
        // owner.
        let message = start.wasFound ? WorkerMessage.stopAndKeep : .stopAndRemove
        try? life.control.socket.send(message.encoded)
        _ = try? PollSource.wait(for: [.end(life.process)], milliseconds: Self.stopPatience)
        throw .unavailable(
            start.wasFound
                ? "the disk's memory has been replaced by another disk's"
                : "the disk's memory is gone: somebody has removed it")
    }

    package func stop(isKept: Bool) {
        // Who is to free the memory has to have it.
        if life == nil, !isKept { try? startWorker() }
        guard let life else { return }
        let message = isKept ? WorkerMessage.stopAndKeep : .stopAndRemove
        try? life.control.socket.send(message.encoded)
        let items = [PollSource.end(life.process)]
        let hasEnded = try? PollSource.wait(for: items, milliseconds: Self.stopPatience)
        if hasEnded?[0] != true { life.process.signal(SIGKILL) }
        _ = try? life.process.wait()
        self.life = nil
    }
}

/// A control socket that several values refer to.
package final class SharedDescriptorChannel: Sendable {
    package let socket: DescriptorChannel

    package init(_ socket: consuming DescriptorChannel) { self.socket = socket }
}
