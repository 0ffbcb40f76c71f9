package import LinuxIO
internal import CLinux
package import SystemPackage

/// Something that can be waited for. Whoever owns what is behind it keeps it while that is done.
package struct PollSource: Sendable {
    fileprivate let number: CInt
    fileprivate let wantsInput: Bool

    /// A socket has input, or its end.
    package static func input(_ socket: SocketHandle) -> PollSource {
        PollSource(number: socket.number, wantsInput: true)
    }

    /// A socket is shut down in both directions, by whatever end; its input means nothing.
    package static func hangUp(_ socket: SocketHandle) -> PollSource {
        PollSource(number: socket.number, wantsInput: false)
    }

    /// Somebody has signalled.
    package static func signal(_ wakeUp: borrowing EventFD) -> PollSource {
        PollSource(number: wakeUp.descriptor.rawValue, wantsInput: true)
    }

    /// A child has ended.
    package static func end(_ process: ChildProcess) -> PollSource {
        PollSource(number: process.descriptor.rawValue, wantsInput: true)
    }

    /// Any process has ended.
    package static func end(_ process: borrowing ProcessWatch) -> PollSource {
        PollSource(number: process.descriptor.rawValue, wantsInput: true)
    }

    /// Most things that can be waited for at a time.
    package static var maximumCount: Int { 64 }

    /// Waits until one of them happens, or the time is over (nil: no limit); answers which have.
    /// poll(2)
    package static func wait(
        for items: [PollSource], milliseconds: Int? = nil
    ) throws(Errno) -> [Bool] {
        let numbers = items.map(\.number)
        let inputs = items.map { UInt8($0.wantsInput ? 1 : 0) }
        var marks = [UInt8](repeating: 0, count: items.count)
        let timeout = milliseconds.map { CInt(clamping: $0) } ?? -1
        try checked(
            unsafe clinux_wait_any(numbers, inputs, &marks, items.count, timeout))
        return marks.map { $0 != 0 }
    }
}
