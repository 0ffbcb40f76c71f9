// Waiting for whichever of several things happens first.

internal import CLinux
public import SystemPackage

/// Something that can be waited for. Whoever owns what is behind it keeps it while that is done.
public struct WaitItem: Sendable {
    fileprivate let number: CInt
    fileprivate let wantsInput: Bool

    /// A socket has input, or its end.
    public static func input(_ socket: SocketHandle) -> WaitItem {
        WaitItem(number: socket.number, wantsInput: true)
    }

    /// A socket is shut down in both directions, by whatever end; its input means nothing.
    public static func hangUp(_ socket: SocketHandle) -> WaitItem {
        WaitItem(number: socket.number, wantsInput: false)
    }

    /// Somebody has signalled.
    public static func signal(_ wakeUp: borrowing WakeUp) -> WaitItem {
        WaitItem(number: wakeUp.descriptor.rawValue, wantsInput: true)
    }

    /// A child has ended.
    public static func end(_ process: ChildProcess) -> WaitItem {
        WaitItem(number: process.descriptor.rawValue, wantsInput: true)
    }

    /// Any process has ended.
    public static func end(_ process: borrowing ProcessWatch) -> WaitItem {
        WaitItem(number: process.descriptor.rawValue, wantsInput: true)
    }

    /// Most things that can be waited for at a time.
    public static var maximumCount: Int { 64 }

    /// Waits until one of them happens, or the time is over (nil: no limit); answers which have.
    /// poll(2)
    public static func wait(
        for items: [WaitItem], milliseconds: Int? = nil
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
