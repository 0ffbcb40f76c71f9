internal import LinuxIO

/// Keeps a socket open as long as somebody refers to it.
final class Connection: Sendable {
    let socket: StreamSocket

    init(_ socket: consuming StreamSocket) { self.socket = socket }
}
