internal import LinuxIO
internal import SystemPackage

/// Does something about a count of things, in shares of which each has its own thread. Fewer things
/// than `worth` are not worth a thread.
func inShares(
    of count: Int, worth: Int, _ work: @escaping @Sendable (Range<Int>) -> Void
) {
    let shares = max(1, min(Processor.onlineCount, count / worth))
    let length = (count + shares - 1) / shares
    let threads = (1..<shares).map { index in
        let share = min(count, index * length)..<min(count, (index + 1) * length)
        do throws(Errno) {
            return try Thread(name: "share") { work(share) } as Thread?
        } catch {
            work(share)
            return nil
        }
    }
    work(0..<min(count, length))
    for thread in threads { thread?.join() }
}
