internal import LinuxIO
internal import NBDProtocol
internal import Synchronization
internal import SystemPackage

/// The server as its threads see it. Only a flag, a wake-up, counters, the exports, and the list of connections
/// that wait for the acceptor change.
final class ServerContext: Sendable {
    let options: ServerOptions
    let onEvent: @Sendable (ServerEvent) -> Void
    let stop: StopSignal
    let wakeUp: EventFD
    let slots: ConnectionSlots
    /// The source of statistics and traces.
    let statistics: StatisticsRegistry
    private let stopMemory: MemoryMapping
    private let connectionCount = Atomic<UInt64>(0)
    private let exportList: Mutex<ExportList>
    /// Connections that wait for the acceptor; nil once it accepts none any more.
    private let inbox = Mutex<[Connection]?>([])
    private let listeners: Mutex<[Listener]>

    init(
        exports: [Export], listeners: [Listener], options: ServerOptions,
        onEvent: @escaping @Sendable (ServerEvent) -> Void
    ) throws(Errno) {
        exportList = Mutex(ExportList(exports))
        self.options = options
        slots = ConnectionSlots(limit: options.maximumConnections)
        self.onEvent = onEvent
        let stopMemory = try MemoryMapping(privateBytes: StopSignal.byteCount)
        let wakeUp = try EventFD()
        let statistics = try StatisticsRegistry(
            exports: exports.map(\.name), isCounting: options.isCounting)
        stop = StopSignal(memory: stopMemory.region)
        self.stopMemory = stopMemory
        self.wakeUp = wakeUp
        self.statistics = statistics
        self.listeners = Mutex(listeners)
    }

    /// The exports that a client can choose from now. A connection keeps the one that it has chosen.
    var exports: ExportList { exportList.withLock { $0 } }

    /// Adds an export. Throws when its name is taken.
    func add(_ export: Export) throws(ServerError) {
        try exportList.withLock { (list) throws(ServerError) in
            let exports = list.all + [export]
            try Export.check(exports)
            list = ExportList(exports)
        }
        statistics.add(export: export.name)
    }

    /// Removes an export that was added, and returns whether there was one of that name.
    func remove(exportNamed name: String) -> Bool {
        let wasThere = exportList.withLock { list in
            let others = list.all.filter { $0.name != name }
            guard !others.isEmpty, others.count < list.all.count else { return false }
            list = ExportList(others)
            return true
        }
        if wasThere { statistics.remove(export: name) }
        return wasThere
    }

    /// Makes a connection with the next id.
    func connection(
        _ socket: consuming StreamSocket, peer: Peer? = nil,
        membership: ConnectionGroup.Membership? = nil
    ) -> Connection {
        let number = connectionCount.wrappingAdd(1, ordering: .relaxed).newValue
        return Connection(number: number, socket: socket, peer: peer, membership: membership)
    }

    /// Replaces the listeners, before the acceptor takes them.
    func set(_ listeners: [Listener]) { self.listeners.withLock { $0 = listeners } }

    /// Moves the listeners to the acceptor. They close when it drops them, so nothing else may hold them then:
    /// not this object, nor the thread's function, which keeps what it captures until it returns.
    func takeListeners() -> [Listener] {
        listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
    }

    /// Passes a connection to the acceptor; closes it if that has stopped.
    func hand(over connection: Connection) {
        inbox.withLock { $0?.append(connection) }
        wakeUp.signal()
    }

    /// Closes the connections that wait for the acceptor, and all that are passed to it from now on.
    func refuseHandedOver() {
        inbox.withLock { $0 = nil }
    }

    /// Returns the connections that wait for the acceptor, and empties the list.
    func takeHandedOver() -> [Connection] {
        inbox.withLock { connections in
            defer { if connections != nil { connections = [] } }
            return connections ?? []
        }
    }
}

/// A server's exports, and what handshakes tell clients about them, which is prepared once for all connections.
struct ExportList: Sendable {
    let all: [Export]
    let infos: [ExportInfo]

    init(_ exports: [Export]) {
        all = exports
        infos = exports.map(\.info)
    }
}
