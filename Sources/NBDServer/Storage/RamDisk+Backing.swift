/// A disk that outlives the process that serves it.
extension RamDisk {
    /// The contents that an earlier server has left in a backing.
    #if hasAttribute(nonexhaustive)
        @nonexhaustive
    #endif
    public enum Inheritance: Sendable, Equatable {
        /// Nothing: the disk is new.
        case none
        /// A disk that a server kept on purpose when it stopped.
        case kept
        /// A disk whose server was killed or crashed. Every write that the server acknowledged is
        /// on it.
        case orphaned
    }

    /// Opens the disk in a backing, or makes a new one.
    ///
    /// This object locks the backing: no other server can open it while the object exists. After
    /// ``publish()``, the next server finds the disk even if this process is killed.
    ///
    /// - Parameters:
    ///   - location: the name of the backing, and its directory.
    ///   - size: in bytes; an existing disk must have this size. Nil accepts any size.
    ///   - newSize: in bytes, of a new disk if `size` is nil. If both are nil, the backing must exist.
    ///   - isSparse: takes memory only as it is written. A disk that was sparse may be opened as a
    ///     plain one, and the reverse.
    /// - Throws: ``BackingError``; an existing disk is unchanged then.
    public convenience init(
        backing location: BackingLocation, size: UInt64?, newSize: UInt64? = nil,
        isSparse: Bool = false
    ) throws(BackingError) {
        let backing = try Backing.open(
            location, size: size, newSize: newSize, isSparse: isSparse)
        do throws(RamDiskError) {
            try self.init(
                DiskMemory(backing, isSparse: isSparse), size: backing.size, isSparse: isSparse)
        } catch {
            throw .memory(error)
        }
    }

    /// The contents of the backing when this object opened it; `none` without a backing.
    public var inheritance: Inheritance {
        guard let backing = memory.backing, backing.wasFound else { return .none }
        return backing.wasClean ? .kept : .orphaned
    }

    /// Gives the memory of a new disk its name, and records that the disk is being served. To be
    /// called before the disk is served.
    ///
    /// Without it, the memory of a new disk is freed when the process ends. From here on the disk exists until
    /// ``remove()``. Does nothing without a backing.
    public func publish() throws(BackingError) { try memory.backing?.publish() }

    /// Records that the server has stopped and kept the disk on purpose. To be called when no
    /// thread writes to the disk any more.
    ///
    /// Without it the disk also remains, and the next server finds it ``Inheritance/orphaned``.
    public func keep() { memory.backing?.keep() }

    /// Removes the backing's name. The kernel frees the memory when this object is gone.
    public func remove() { memory.backing?.remove() }
}
