package import LinuxIO
internal import CLinux
package import SystemPackage

/// Something that can be waited for. Whoever owns what is behind it keeps it while that is done.
package struct PollSource: Sendable {
    fileprivate let descriptor: CInt
    fileprivate let wantsInput: Bool

    /// A socket has input, or its end.
    package static func input(_ socket: SocketHandle) -> PollSource {
        PollSource(descriptor: socket.rawValue, wantsInput: true)
    }

    /// A socket is shut down in both directions, by whatever end; its input means nothing.
    package static func hangUp(_ socket: SocketHandle) -> PollSource {
        PollSource(descriptor: socket.rawValue, wantsInput: false)
    }

    /// Somebody has signalled.
    package static func event(_ wakeUp: borrowing EventFD) -> PollSource {
        PollSource(descriptor: wakeUp.descriptor.rawValue, wantsInput: true)
    }

    /// A child has ended.
    package static func exit(_ process: ChildProcess) -> PollSource {
        PollSource(descriptor: process.descriptor.rawValue, wantsInput: true)
    }

    /// Any process has ended.
    package static func exit(_ process: borrowing ProcessWatch) -> PollSource {
        PollSource(descriptor: process.descriptor.rawValue, wantsInput: true)
    }

    /// Most things that can be waited for at a time.
    package static var maximumCount: Int { 64 }

    /// Waits until one of them happens, or the time is over (nil: no limit); answers which have.
    /// poll(2)
    package static func poll(
        _ sources: [PollSource], milliseconds: Int? = nil
    ) throws(Errno) -> [Bool] {
        let descriptors = sources.map(\.descriptor)
        let inputs = sources.map { UInt8($0.wantsInput ? 1 : 0) }
        var marks = [UInt8](repeating: 0, count: sources.count)
        let timeout = milliseconds.map { CInt(clamping: $0) } ?? -1
        try checked(
            unsafe clinux_wait_any(descriptors, inputs, &marks, sources.count, timeout))
        return marks.map { $0 != 0 }
    }
}
