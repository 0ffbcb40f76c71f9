internal import LinuxIO
internal import Synchronization
package import SystemPackage

/// The connections over which one kernel reaches one disk, and between which it moves requests.
///
/// When a request has waited longer than the device's timeout, the kernel shuts the request's socket
/// down and sends the request again over another one. The thread of the first socket may have received
/// the request and may have been stopped before it applied it: by a page fault, a debugger, a hypervisor.
/// If it applied the request later, it would overwrite what was acknowledged on the other connection in
/// the meantime. The group rules that out:
///
/// - The kernel shuts the old socket down *before* it sends the request again
///   (`nbd_mark_nsock_dead` in the kernel's drivers/block/nbd.c). On a Unix socket the shutdown is
///   visible to the other end as soon as the call returns.
/// - So the thread that receives the repeated request, and checks the other sockets afterwards, sees that the old
///   socket is shut down. It applies no change before the old socket's thread has ended.
/// - A thread that finds its own socket shut down applies nothing more and ends. So two threads whose
///   sockets are both dead do not wait for each other.
///
/// The check costs one poll(2) for each batch that changes the disk, and nothing where there is only one connection.
/// Reads do not check: a late read changes nothing, and its reply goes to a dead socket.
package final class ConnectionGroup: Sendable {
    private let memory: MemoryMapping
    private let slots: AtomicWords

    /// The largest number of members at a time: twice the most queues that a device gets, since an ended connection and
    /// its replacement can overlap.
    package static var capacity: Int { SiblingConnections.capacity }

    /// A group without members. Throws when there is no memory for it.
    package init() throws(Errno) {
        memory = try MemoryMapping(privateBytes: SiblingConnections.byteCount)
        slots = AtomicWords(memory.region)
    }

    /// Adds a connection; returns nil when the group is full. One thread adds all connections, each before the kernel
    /// gets its other end.
    func join(_ socket: SocketHandle) -> Membership? {
        let taken = (0..<Self.capacity).filter { slots.load($0) != 0 }
        guard let free = (0..<Self.capacity).first(where: { slots.load($0) == 0 }) else {
            return nil
        }
        slots.store(free, socket.groupSlot)
        if !taken.isEmpty { slots.store(SiblingConnections.sharedIndex, 1) }
        return Membership(group: self, slot: free)
    }

    /// One connection's membership in the group. It lasts until ``leave()``, or until it is released.
    final class Membership: Sendable {
        private let group: ConnectionGroup
        private let slot: Int
        private let isOver = Atomic<Bool>(false)

        fileprivate init(group: ConnectionGroup, slot: Int) {
            self.group = group
            self.slot = slot
        }

        /// Tells the other members that this connection's thread has made its last change. Must be called before the
        /// socket is closed: another socket may get its descriptor then.
        func leave() {
            guard !isOver.exchange(true, ordering: .acquiringAndReleasing) else { return }
            group.slots.store(slot, 0)
        }

        /// The other members, as the connection's thread sees them. Valid as long as the membership.
        var siblings: SiblingConnections {
            SiblingConnections(memory: group.memory.region, slot: slot)
        }

        deinit { leave() }
    }
}

/// The other connections of a group, as the thread of one of them sees them.
struct SiblingConnections: Sendable, BitwiseCopyable {
    /// Slots in the group's memory.
    static var capacity: Int { 64 }
    /// The word behind the slots: whether there have been two members at a time.
    static var sharedIndex: Int { capacity }
    /// Bytes of memory that a group needs.
    static var byteCount: Int { (capacity + 1) * 8 }

    private let slots: AtomicWords
    private let memory: MemoryRegion
    private let own: Int

    fileprivate init(memory: MemoryRegion, slot: Int) {
        slots = AtomicWords(memory)
        self.memory = memory
        own = slot
    }

    /// Whether there is, or has been, another member.
    @inline(__always)
    var exist: Bool { slots.load(Self.sharedIndex) != 0 }

    /// Returns which members' sockets are shut down at this moment.
    @_semantics("no_performance_analysis")
    func hangUps() -> SocketHandle.HangUps {
        SocketHandle.hangUps(in: memory, count: Self.capacity, own: own)
    }

    /// Returns true once every member whose socket is shut down has left; false when this connection's own
    /// socket is shut down, so nothing it has received may be applied any more.
    @_semantics("no_performance_analysis")
    func awaitDead() -> Bool {
        while true {
            switch hangUps() {
            case .none: return true
            case .own: return false
            // The other thread ends at once unless it is stopped; then there is nothing to hurry for.
            case .others: Thread.sleep(milliseconds: 1)
            }
        }
    }
}
