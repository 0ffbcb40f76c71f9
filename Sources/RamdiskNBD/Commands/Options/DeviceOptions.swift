internal import KernelDisks
internal import ArgumentParser
internal import ProgramSupport
internal import NBDKernel

/// A kernel device, by path or name.
struct DevicePath: ExpressibleByArgument, Equatable {
    var device: NBDDevice

    init?(argument: String) {
        guard let device = NBDDevice(path: argument) else { return nil }
        self.device = device
    }
}

/// The settings of the kernel's block layer for the device.
struct DeviceSettingsOptions: ParsableArguments {
    @Flag(
        name: .long,
        help: """
            Leave the I/O scheduler and the largest request of the device as they are, instead of \
            setting them for memory. `list --verbose` shows them.
            """)
    var keepDeviceSettings = false
}

/// Timeouts of the device of a disk that `up` makes.
struct DiskTimeouts: ParsableArguments {
    private static let lasting = KernelDiskConfiguration.timeouts(outlivesServer: true)
    private static let passing = KernelDiskConfiguration.timeouts(outlivesServer: false)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time that a request may take before the kernel gives up its connection and sends it \
            again over another, in whole seconds. (default: \(passing.request)s; with --backing or \
            --supervise \(lasting.request)s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var timeout: Duration?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time that requests wait for a dead server before they fail, in whole seconds. \
            (default: \(passing.deadConnection)s; with --backing or --supervise \
            \(lasting.deadConnection)s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var deadConnectionTimeout: Duration?

    func validate() throws {
        try checkTimeouts(timeout, deadConnectionTimeout)
    }
}

/// Timeouts of the device of another server's export.
struct AttachTimeouts: ParsableArguments {
    private static let staying = KernelDiskConfiguration.attachTimeouts(stays: true)
    private static let passing = KernelDiskConfiguration.attachTimeouts(stays: false)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time that a request may take before the kernel gives up its connection, in whole \
            seconds. It then sends the request again over another connection or, with --stay, over \
            a new one. A server that was only paused may apply the old request later, over newer \
            data, so choose a time longer than any pause of the server. 0: no limit with one \
            connection, 30 seconds with several. (default: \(passing.request)s; with --stay \
            \(staying.request)s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var timeout: Duration?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Time that requests wait for a dead server before they fail, in whole seconds. \
            (default: \(passing.deadConnection); with --stay \(staying.deadConnection)s)
            """, valueName: "time"),
        transform: Duration.init(parsing:))
    var deadConnectionTimeout: Duration?

    func validate() throws {
        try checkTimeouts(timeout, deadConnectionTimeout)
    }
}

extension Duration {
    /// The time as the kernel's driver takes it. ``checkTimeouts(_:_:)`` has checked that it is whole.
    var driverSeconds: UInt64 { UInt64(components.seconds) }
}

/// Throws for more than a day, which is a mistaken unit, and for parts of a second, which the driver does
/// not know.
func checkTimeouts(_ timeout: Duration?, _ deadConnectionTimeout: Duration?) throws {
    for (name, value) in [
        ("--timeout", timeout), ("--dead-connection-timeout", deadConnectionTimeout),
    ] {
        guard let value else { continue }
        try check(name, value, in: .zero ... .seconds(86_400))
        try require(
            value.components.attoseconds == 0,
            "\(name) is \(value.argument), but must be a whole number of seconds.")
    }
}
