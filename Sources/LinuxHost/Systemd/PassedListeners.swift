package import LinuxIO
internal import Glibc
package import SystemPackage

/// The listening sockets that came with the start of the process.
package enum PassedListeners {
    /// Why they are of no use.
    package enum Invalid: Error, Equatable, CustomStringConvertible {
        /// `LISTEN_FDS` is no number of descriptors.
        case count(String)
        /// A descriptor does not listen, or is not of TCP or Unix.
        case descriptor(Int32, Errno)

        /// A clause for a message.
        package var description: String {
            switch self {
            case .count(let text):
                "LISTEN_FDS is \"\(text)\", which is no number of sockets"
            case .descriptor(let number, .invalidArgument):
                "descriptor \(number) is no listening TCP or Unix socket"
            case .descriptor(let number, let error):
                "descriptor \(number) is of no use: \(error)"
            }
        }
    }

    /// A listener, and what the service manager calls it.
    package struct Named: Sendable {
        /// `FileDescriptorName=`; empty when it has none.
        package let name: String
        /// The socket.
        package let listener: Listener
    }

    /// The first descriptor that is passed. `SD_LISTEN_FDS_START`
    private static var first: CInt { 3 }
    /// More than can be watched is no sensible number.
    private static var most: Int { 1024 }

    /// Whether sockets were passed to this very process, and not to one that it comes from.
    package static var arePresent: Bool {
        variable("LISTEN_PID") == String(getpid()) && variable("LISTEN_FDS") != nil
    }

    /// Takes them over; to be called once, since it becomes their owner.
    package static func take() throws(Invalid) -> [Named] {
        guard arePresent, let text = variable("LISTEN_FDS") else { return [] }
        guard let count = Int(text), (0...most).contains(count) else { throw .count(text) }
        let names = (variable("LISTEN_FDNAMES") ?? "")
            .split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var listeners: [Named] = []
        for index in 0..<count {
            let number = first + CInt(index)
            do throws(Errno) {
                listeners.append(
                    Named(
                        name: index < names.count ? names[index] : "",
                        listener: try Listener(listening: Descriptor(adopting: number))))
            } catch {
                throw .descriptor(number, error)
            }
        }
        return listeners
    }

    private static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}
