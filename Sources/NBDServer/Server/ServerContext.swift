internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// The server as its threads see it. Nothing in it changes but a flag, a wake-up, counters, and the
/// list of connections that wait to be taken in.
final class ServerContext: Sendable {
    let exports: [Export]
    let exportInfos: [ExportInfo]
    let options: ServerOptions
    let onEvent: @Sendable (ServerEvent) -> Void
    let stop: StopSignal
    let wakeUp: EventFD
    let places: ConnectionSlots
    /// What others may look at.
    let statistics: StatisticsRegistry
    private let stopMemory: MemoryMapping
    private let connectionCount = Atomic<UInt64>(0)
    /// Connections that wait to be taken in; nil when none is any more.
    private let inbox = Mutex<[Connection]?>([])
    private let listeners: Mutex<[Listener]>

    init(
        exports: [Export], listeners: [Listener], options: ServerOptions,
        onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(Errno) {
        self.exports = exports
        exportInfos = exports.map(\.info)
        self.options = options
        places = ConnectionSlots(limit: options.maximumConnections)
        self.onEvent = onEvent
        let stopMemory = try MemoryMapping(privateBytes: StopSignal.byteCount)
        let wakeUp = try EventFD()
        let statistics = try StatisticsRegistry(
            exportCount: exports.count, isCounting: options.isCounting)
        stop = StopSignal(memory: stopMemory.region)
        self.stopMemory = stopMemory
        self.wakeUp = wakeUp
        self.statistics = statistics
        self.listeners = Mutex(listeners)
    }

    /// A connection with the next number.
    func connection(
        _ socket: consuming StreamSocket, peer: Peer? = nil,
        membership: ConnectionGroup.Membership? = nil
    ) -> Connection {
        let number = connectionCount.wrappingAdd(1, ordering: .relaxed).newValue
        return Connection(number: number, socket: socket, peer: peer, membership: membership)
    }

    /// Gives the listeners to the acceptor. They close when it lets go of them, so nothing else may
    /// hold them then: not this, nor the thread's function, which keeps what it captures to its end.
    func takeListeners() -> [Listener] {
        listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
    }

    /// Leaves a connection for the acceptor to take in; closes it when that has stopped.
    func hand(over connection: Connection) {
        inbox.withLock { $0?.append(connection) }
        wakeUp.signal()
    }

    /// Closes what has been left, and whatever comes.
    func refuseHandedOver() {
        inbox.withLock { $0 = nil }
    }

    /// Takes what has been left.
    func takeHandedOver() -> [Connection] {
        inbox.withLock { connections in
            defer { if connections != nil { connections = [] } }
            return connections ?? []
        }
    }
}
