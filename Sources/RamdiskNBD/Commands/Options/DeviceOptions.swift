internal import KernelDisks
internal import ArgumentParser
internal import NBDKernel

/// One of the kernel's devices, by its path or name.
struct DevicePath: ExpressibleByArgument, Equatable {
    var device: NBDDevice

    init?(argument: String) {
        guard let device = NBDDevice(path: argument) else { return nil }
        self.device = device
    }
}

/// Of the device of a disk that `up` makes.
struct DiskTimeouts: ParsableArguments {
    private static let lasting = KernelDiskConfiguration.timeouts(outlivesServer: true)
    private static let passing = KernelDiskConfiguration.timeouts(outlivesServer: false)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that a request may take before its connection is given up and it is sent again \
            over another. (default: \(passing.request); with --backing or --supervise \(lasting.request))
            """, valueName: "seconds"))
    var timeout: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that requests wait for a server that is gone before they fail. (default: \
            \(passing.deadConnection); with --backing or --supervise \(lasting.deadConnection))
            """, valueName: "seconds"))
    var deadConnectionTimeout: UInt32?

    func validate() throws {
        try checkTimeouts(timeout, deadConnectionTimeout)
    }
}

/// Of the device of another server's export.
struct AttachTimeouts: ParsableArguments {
    private static let staying = KernelDiskConfiguration.attachTimeouts(stays: true)
    private static let passing = KernelDiskConfiguration.attachTimeouts(stays: false)

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that a request may take before its connection is given up; with several, it is sent \
            again over another. 0: no limit. (default: \(passing.request); with --stay \
            \(staying.request))
            """, valueName: "seconds"))
    var timeout: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that requests wait for a server that is gone before they fail. (default: \
            \(passing.deadConnection); with --stay \(staying.deadConnection))
            """, valueName: "seconds"))
    var deadConnectionTimeout: UInt32?

    func validate() throws {
        try checkTimeouts(timeout, deadConnectionTimeout)
    }
}

/// Throws for more than a day: somebody has mistaken the unit.
private func checkTimeouts(_ timeout: UInt32?, _ deadConnectionTimeout: UInt32?) throws {
    let longest: UInt32 = 86_400
    for (name, value) in [
        ("--timeout", timeout), ("--dead-connection-timeout", deadConnectionTimeout),
    ] {
        if let value, value > longest {
            throw ValidationError(
                "\(name) is \(value), but has to be from 0 to \(longest) seconds.")
        }
    }
}
