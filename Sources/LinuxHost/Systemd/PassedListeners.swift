internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

/// The listening sockets that a service manager has passed to this process. sd_listen_fds(3)
package enum PassedListeners {
    /// The reason why the sockets cannot be used.
    package enum Invalid: Error, Equatable, CustomStringConvertible {
        /// `LISTEN_FDS` is not a number of descriptors.
        case count(String)
        /// A descriptor does not listen, or is neither TCP nor Unix.
        case descriptor(Int32, Errno)

        /// A clause for a message.
        package var description: String {
            switch self {
            case .count(let text):
                "LISTEN_FDS is \"\(text)\", which is not a number of sockets"
            case .descriptor(let descriptor, .invalidArgument):
                "descriptor \(descriptor) is not a listening TCP or Unix socket"
            case .descriptor(let descriptor, let error):
                "descriptor \(descriptor) cannot be used: \(error)"
            }
        }
    }

    /// A listener with the service manager's name for it.
    package struct Named: Sendable {
        /// `FileDescriptorName=`; empty when it has none.
        package let name: String
        /// The listener.
        package let listener: Listener
    }

    /// The first passed descriptor. `SD_LISTEN_FDS_START`
    private static var first: CInt { 3 }
    /// The largest plausible count: more than a server can listen on.
    private static var maximumCount: Int { 1024 }

    /// Whether sockets were passed to this very process, and not to an ancestor.
    package static var arePresent: Bool {
        variable("LISTEN_PID") == String(getpid()) && variable("LISTEN_FDS") != nil
    }

    /// Takes ownership of the sockets. Call this once.
    package static func take() throws(Invalid) -> [Named] {
        guard arePresent, let text = variable("LISTEN_FDS") else { return [] }
        guard let count = Int(text), (0...maximumCount).contains(count) else {
            throw .count(text)
        }
        let names = (variable("LISTEN_FDNAMES") ?? "")
            .split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var listeners: [Named] = []
        for index in 0..<count {
            let descriptor = first + CInt(index)
            do throws(Errno) {
                listeners.append(
                    Named(
                        name: index < names.count ? names[index] : "",
                        listener: try Listener(listening: Descriptor(adopting: descriptor))))
            } catch {
                throw .descriptor(descriptor, error)
            }
        }
        return listeners
    }

    private static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}
