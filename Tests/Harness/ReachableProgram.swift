internal import Foundation
internal import Glibc

/// A program that another user can run. If a directory above it keeps other users out, as root's home directory
/// does, this is a copy in another place, which is removed with the last reference.
public struct ReachableProgram: Sendable {
    /// The path at which every user can run it.
    public let path: String
    private let copy: TemporaryDirectory?

    /// Copies the program unless every user can run it where it is.
    public init(_ original: String) throws {
        guard !Self.isOpenToAll(original) else {
            path = original
            copy = nil
            return
        }
        let directory = try TemporaryDirectory()
        let file = URL(filePath: original).resolvingSymlinksInPath()
        let place = directory.file(file.lastPathComponent)
        // A link takes no time, and is possible on one file system only.
        if unsafe link(file.path, place) != 0 {
            try FileManager.default.copyItem(atPath: file.path, toPath: place)
        }
        path = place
        copy = directory
    }

    /// Returns whether other users may enter every directory above it.
    private static func isOpenToAll(_ path: String) -> Bool {
        var folder = URL(filePath: path).resolvingSymlinksInPath().deletingLastPathComponent()
        while true {
            var status = stat()
            guard unsafe stat(folder.path, &status) == 0, status.st_mode & S_IXOTH != 0 else {
                return false
            }
            guard folder.path != "/" else { return true }
            folder.deleteLastPathComponent()
        }
    }
}
