internal import ArgumentParser
package import Confinement

/// How the server confines itself.
struct SandboxOptions: ParsableArguments {
    @Option(
        name: .customLong("sandbox"),
        help: ArgumentHelp(
            """
            Confine the server once it is ready, so that a client that takes it over finds no files, \
            programs, networks or other processes: on, off, or log, which has the kernel log the system \
            calls that would be refused. Under `up`, only the worker of --supervise confines itself.
            """, valueName: "mode"))
    var mode = SandboxMode.on
}

extension SandboxMode: ExpressibleByArgument {}
