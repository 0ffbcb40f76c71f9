import LinuxIO

/// Waits on a socket where nothing will come.
func pause(milliseconds: Int) throws {
    let pair = try StreamSocket.pair()
    _ = try pair.first.handle.waitReadable(milliseconds: milliseconds)
}
