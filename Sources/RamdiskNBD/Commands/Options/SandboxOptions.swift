internal import ArgumentParser
package import Confinement

/// The confinement of the server.
struct SandboxOptions: ParsableArguments {
    @Option(
        name: .customLong("sandbox"),
        help: ArgumentHelp(
            """
            Confine the server once it is ready, so that a client that exploits it reaches no \
            files, programs, networks or other processes: on, off, or log, with which the kernel \
            only logs the system calls that it would refuse. Under `up`, only the worker of \
            --supervise confines itself.
            """, valueName: "mode"))
    var mode = SandboxMode.on
}

extension SandboxMode: ExpressibleByArgument {}
