internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// Proves that the kernel reads each connection of a device that has just been attached.
///
/// The driver queues one work item for each connection, which reads replies as long as the connection lives.
/// When the kernel gets no new worker thread within 10 ms, as at boot or without memory, the work queue's single
/// rescuer thread takes all items and runs them one after the other. The first one never returns, so the replies of
/// the other connections are not read, and the first request on one of them hangs for the request timeout.
///
/// So each queue gets a read of its own while the timeout is short. A connection that is not read is given up by the
/// kernel then, and replaced: the new one gets a work item of its own, at a time when nothing else is queued.
package enum ConnectionProof {
    /// Seconds that a request may take meanwhile: the kernel counts in whole seconds.
    package static let requestTimeout: UInt64 = 1
    /// Most times that all queues are tried: connections that are not read after that get the full timeout.
    package static let rounds = 10

    /// Reads a page on a processor of each queue, all at the same time, and returns when all have been
    /// read, or have failed. A queue without processors carries no requests of its own.
    package static func readOnEachQueue(of path: String, _ processors: [[Int]]) {
        var threads: [Thread] = []
        for processor in processors.compactMap(\.first) {
            let thread = try? Thread(name: "proof") {
                // On another processor the read would prove another queue, which is no harm.
                try? Processor.bind(to: [processor])
                try? BlockDevice.readPage(of: path, at: 0)
            }
            if let thread { threads.append(thread) }
        }
        for thread in threads { thread.join() }
    }
}
