internal import LinuxIO

/// The completion or removal of the files that an interrupted save leaves.
extension ImageFiles {
    /// Finishes an interrupted save that was complete, removes the rest of one that was not, and returns the state of
    /// the image; nil when there is none.
    ///
    /// docs/internals/images.md has the order of a save's changes, and the proof that this code interprets each state
    /// of the files correctly.
    func recover() throws(DiskImageError) -> ImageState? {
        if let journal = try Journal.open(of: self) {
            _ = try finish(journal)
        } else if try exists(.journal) {
            try remove(.journal)
            try syncDirectory()
        }
        if try exists(.stateDraft) {
            if try !exists(.draft), try draftIsNewer() {
                try publishState()
            } else {
                // Before the draft is removed: without it, this file would seem to describe the image.
                try remove(.stateDraft)
                try syncDirectory()
            }
        }
        if try exists(.draft) { try remove(.draft) }
        return try state(in: .state)
    }

    /// Makes the changes of a complete journal to the image, and removes the journal. Returns the state after that,
    /// and how many bytes it has written to the image and to the state file.
    func finish(
        _ journal: borrowing Journal
    ) throws(DiskImageError) -> (state: ImageState, imageBytes: UInt64, stateBytes: UInt64) {
        let generation = journal.state.generation
        guard let present = try state(in: .state), let image = try status(of: .image),
            present.generation == journal.base || present.generation == generation
        else { throw .strayJournal(path: path) }
        var written: (image: UInt64, state: UInt64) = (0, 0)
        if present.generation == journal.base {
            guard image.size == present.size, journal.state.size == present.size else {
                throw .wrongLength(path: path, found: image.size, expected: present.size)
            }
            do throws(DiskImageError) {
                written.image = try journal.apply()
                if try exists(.stateDraft) { try remove(.stateDraft) }
                written.state = try prepareState(journal.state)
                try publishState()
            } catch {
                throw .unfinished(path: path, reason: "\(error)")
            }
        }
        try remove(.journal)
        try syncDirectory()
        return (journal.state, written.image, written.state)
    }

    /// Whether the draft of a state is intact, and of a later save than the state.
    private func draftIsNewer() throws(DiskImageError) -> Bool {
        // An interrupted draft fails its checksum, which is expected. Any other error ends the recovery.
        let draft: ImageState?
        do throws(DiskImageError) {
            draft = try state(in: .stateDraft)
        } catch .damagedState {
            return false
        }
        let present: ImageState?
        do throws(DiskImageError) {
            present = try state(in: .state)
        } catch .damagedState {
            present = nil
        }
        return (draft?.generation ?? 0) > (present?.generation ?? 0)
    }

    /// Reads a state; nil when there is no such file.
    func state(in file: ImageFile) throws(DiskImageError) -> ImageState? {
        guard let length = try status(of: file)?.size else { return nil }
        guard length <= ImageState.longest else { throw .damagedState(path: path) }
        guard let bytes = try contents(of: file) else { return nil }
        do throws(ImageState.DecodingError) {
            return try ImageState(decoding: bytes)
        } catch {
            switch error {
            case .damaged: throw .damagedState(path: path)
            case .version(let found): throw .otherVersion(file: self.path(of: file), found: found)
            }
        }
    }

    /// Writes the draft of a state, and syncs it. Returns its length in bytes.
    func prepareState(_ state: ImageState) throws(DiskImageError) -> UInt64 {
        let memory = try ChunkBuffer.memory()
        var file = try EditedFile(creating: .stateDraft, of: self)
        var rest = state.encoded[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(ChunkBuffer.byteCount))
            memory.region.copy(from: part)
            try file.write(
                memory.region.slice(at: 0, count: part.count), at: file.bytesWritten)
            rest = rest.dropFirst(part.count)
        }
        try file.sync()
        return file.bytesWritten
    }

    /// Replaces the state by its draft.
    func publishState() throws(DiskImageError) {
        try rename(.stateDraft, to: .state)
        try syncDirectory()
    }
}
