// `ramdisk-nbd attach`: any NBD server's export as a device of this machine's kernel.

internal import ArgumentParser
internal import LinuxIO
internal import NBDKernel
internal import NBDProtocol
internal import SystemPackage

/// Where an export is.
struct ServerURI: ExpressibleByArgument {
    var uri: NBDURI

    init?(argument: String) {
        guard let uri = try? NBDURI(argument) else { return nil }
        self.uri = uri
    }
}

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Attach the export of a running NBD server to a device of the kernel.",
        discussion: """
            Connects, does the handshake, hands the connections to the kernel, prints the device, and \
            ends: the kernel goes on by itself. TLS is not possible so.

            EXAMPLES
              A server on this machine, at the first free device:
                ramdisk-nbd attach nbd://localhost

              Another machine's, over four connections, with a minute for its network to come back:
                ramdisk-nbd attach nbd://host/name /dev/nbd0 --connections 4 \\
                  --timeout 30 --dead-connection-timeout 60

              On a Unix socket:
                ramdisk-nbd attach 'nbd+unix:///?socket=/run/ramdisk.sock'
            """)

    @Argument(help: ArgumentHelp("nbd:// or nbd+unix:// and so on.", valueName: "uri"))
    var server: ServerURI

    @Argument(
        help: ArgumentHelp("The device. (default: the first free one)", valueName: "device"))
    var device: DevicePath?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Connections, each with a queue of its own, 1 to 128.", valueName: "count"))
    var connections = 1

    @OptionGroup
    var timeouts: AttachTimeouts

    func validate() throws {
        guard (1...128).contains(connections) else {
            throw ValidationError("--connections is \(connections), but has to be from 1 to 128.")
        }
    }

    func run() throws {
        standardOutput(try attach().path + "\n")
    }

    private func attach() throws(Failure) -> NBDDevice {
        guard Privileges.canAdminister else { throw .driver(.notPermitted) }
        let links = try connect()
        let export = links[0].export
        guard connections == 1 || export.flags.contains(.multipleConnections) else {
            throw .unavailable(
                "\(server.uri) takes one connection only: leave --connections out")
        }
        let options = NBDDeviceOptions(
            export, requestTimeout: UInt64(timeouts.timeout ?? 0),
            deadConnectionTimeout: UInt64(timeouts.deadConnectionTimeout ?? 0))
        var driver = try openDriver()
        do throws(Errno) {
            return try driver.connect(links, to: device?.device, options)
        } catch {
            throw .attaching(device?.device, error)
        }
    }

    private func connect() throws(Failure) -> [NBDConnection] {
        do throws(RemoteServer.Failure) {
            let server = try RemoteServer(server.uri)
            var links: [NBDConnection] = []
            for _ in 0..<connections { links.append(try server.connect()) }
            return links
        } catch {
            if case .tls = error { throw .usage("\(error)") }
            throw .unavailable("\(error)")
        }
    }
}
