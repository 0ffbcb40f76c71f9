// The kernel's device: which one, and how patient it is with its server.

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

struct DeviceTimeouts: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that a request may take before its connection is given up and it is sent again \
            over another. (default: `up` 2 with --backing or --supervise, else 30; `attach` 0, for \
            ever)
            """, valueName: "seconds"))
    var timeout: UInt32?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            Seconds that requests wait for a server that is gone before they fail. (default: `up` 300 \
            with --backing or --supervise, else 10; `attach` 0)
            """, valueName: "seconds"))
    var deadConnectionTimeout: UInt32?

    func validate() throws {
        for (name, value) in [
            ("--timeout", timeout), ("--dead-connection-timeout", deadConnectionTimeout),
        ] {
            if let value, value > Self.longest {
                throw ValidationError(
                    "\(name) is \(value), but has to be from 0 to \(Self.longest) seconds.")
            }
        }
    }

    /// A day: above it somebody has mistaken the unit.
    static let longest: UInt32 = 86_400
}
