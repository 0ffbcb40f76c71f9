internal import CLinux
internal import Glibc
package import SystemPackage

/// A condition that ``poll(_:milliseconds:)`` waits for. The owner of the descriptor behind it keeps the
/// descriptor open meanwhile.
package struct PollSource: Sendable {
    private let descriptor: CInt
    private let events: Int16

    private init(descriptor: CInt, events: Int32) {
        self.descriptor = descriptor
        self.events = Int16(events)
    }

    /// A descriptor has input, or its input has ended.
    package static func input(descriptor: CInt) -> PollSource {
        PollSource(descriptor: descriptor, events: POLLIN)
    }

    /// A socket has input, or its input has ended.
    package static func input(_ socket: SocketHandle) -> PollSource {
        input(descriptor: socket.rawValue)
    }

    /// A socket is shut down in both directions, by either end; its input does not count.
    package static func hangUp(_ socket: SocketHandle) -> PollSource {
        PollSource(descriptor: socket.rawValue, events: 0)
    }

    /// An event has been signalled.
    package static func event(_ event: borrowing EventFD) -> PollSource {
        input(descriptor: event.descriptor.rawValue)
    }

    /// Waits until at least one of the sources is ready or the time is over (nil: no limit), and returns
    /// which of them are ready. None is when a signal has interrupted the call. poll(2)
    package static func poll(
        _ sources: [PollSource], milliseconds: Int? = nil
    ) throws(Errno) -> [Bool] {
        var entries = sources.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
        let count = entries.count
        try unsafe waitUntilReady(&entries, count: count, milliseconds: milliseconds)
        return entries.map { $0.revents != 0 }
    }

    /// Waits for one descriptor, and returns the events that it has, 0 when the time is over (nil: no
    /// limit) or a signal has interrupted the call. Allocates nothing. poll(2)
    static func poll(
        descriptor: CInt, for events: Int32, milliseconds: Int?
    ) throws(Errno) -> Int32 {
        var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        try unsafe waitUntilReady(&entry, count: 1, milliseconds: milliseconds)
        return Int32(entry.revents)
    }

    private static func waitUntilReady(
        _ entries: UnsafeMutablePointer<pollfd>, count: Int, milliseconds: Int?
    ) throws(Errno) {
        let timeout = milliseconds.map { CInt(clamping: $0) } ?? -1
        if unsafe Glibc.poll(entries, nfds_t(count), timeout) < 0, errno != EINTR {
            throw Errno(rawValue: errno)
        }
    }
}
