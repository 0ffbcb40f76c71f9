// A disk that outlives the server that serves it.

internal import LinuxIO
internal import SystemPackage

extension RamDisk {
    /// What a server before this one has left in a backing.
    public enum Inheritance: Sendable, Equatable {
        /// Nothing: the disk is new.
        case none
        /// A disk that was kept on purpose.
        case kept
        /// A disk whose server was killed or has crashed. Every write that it acknowledged is there.
        case orphaned
    }

    /// Takes the disk that is in a backing, or makes one. The next server finds it if this one dies
    /// after ``publish()``, and nobody else can have it as long as this object lives.
    ///
    /// - Parameters:
    ///   - place: its name, and where that is.
    ///   - size: in bytes, which has to be that of a disk that is found; nil for whatever is found.
    ///   - newSize: in bytes, for a disk that is made because the backing does not exist, if `size` is nil. If both
    ///     are nil, the backing must exist.
    ///   - isSparse: takes memory only as it is written. A disk may be the one this time and the
    ///     other the next.
    /// - Throws: ``BackingError``; whatever was there has not been changed then.
    public convenience init(
        backing place: BackingLocation, size: UInt64?, newSize: UInt64? = nil,
        isSparse: Bool = false
    ) throws(BackingError) {
        let backing = try Backing.open(place, size: size, newSize: newSize)
        do throws(RamDiskError) {
            try self.init(
                DiskMemory(backing, isSparse: isSparse), size: backing.size, isSparse: isSparse)
        } catch {
            throw .memory(error)
        }
    }

    /// What was there before.
    public var inheritance: Inheritance {
        guard let backing = memory.backing, backing.wasFound else { return .none }
        return backing.wasClean ? .kept : .orphaned
    }

    /// Whether it has a backing.
    public var hasBacking: Bool { memory.backing != nil }

    /// To be called before it is served. Gives the memory of a new disk its name: before, the disk
    /// goes with the process; from here on it is there until ``remove()``. Without a backing there is
    /// nothing to do.
    public func publish() throws(BackingError) { try memory.backing?.publish() }

    /// Says that the disk is left in order, for the next server. To be called when nobody writes to
    /// it any more; without it the disk is there all the same, as after a crash.
    public func keep() { memory.backing?.keep() }

    /// Removes the memory's name, so that the memory is free when this object is gone.
    public func remove() { memory.backing?.remove() }
}

extension Backing {
    /// Whether its memory comes out of the machine's pool of reserved large pages.
    var isReserved: Bool { pageSize > DiskPages.pageSize }

    /// An error about its memory, as people should read it.
    func failure(_ error: Errno) -> RamDiskError {
        guard isReserved, error == .noMemory || error == .noSpace else {
            return .cannotAllocate(size: size, error)
        }
        return .reservedPages(
            size: size, needed: memory.size / pageSize + 1, free: ReservedPages.free)
    }

    /// Finds out which pages of the memory are in use.
    func rebuild(_ map: AllocationMap, over region: MemoryRegion, isSparse: Bool) {
        guard wasFound else { return }
        guard isSparse else { return map.markNonzero(in: region) }
        do throws(Errno) {
            try map.markWritten(of: memory)
            try releaseUnwritten()
        } catch {
            // What the file system does not tell is read; nothing is given back then.
            map.markNonzero(in: region)
        }
    }

    /// What was reserved and not written has no mark, so a trim would pass it over: it goes now.
    private func releaseUnwritten() throws(Errno) {
        var place = 0
        while place < memory.size {
            let run = try memory.nextData(from: place) ?? memory.size..<memory.size
            if run.lowerBound > place {
                try? memory.handle.punch(offset: place, count: run.lowerBound - place)
            }
            place = run.upperBound
        }
    }
}
