package import LinuxIO
internal import NBDServer
package import SystemPackage

/// An error while saving or restoring a disk. The last complete save is unchanged in every case. Its description
/// is one sentence for people.
package enum DiskImageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// There is no such directory.
    case noDirectory(String)
    /// There is something at the path that is not a regular file.
    case notFile(path: String, FileStatus.Kind)
    /// Another server has locked the image. Its pid, if the lock file contains it.
    case inUse(path: String, pid: Int32?)
    /// The state file is not one, or it is damaged. The path is the image's, as in the cases below.
    case damagedState(path: String)
    /// A file beside the image was made by another version of this program.
    case otherVersion(file: String, found: UInt64)
    /// There is a state file, and no image.
    case imageMissing(path: String)
    /// The journal does not belong to the image.
    case strayJournal(path: String)
    /// The image does not have the length that its state file requires. In bytes.
    case wrongLength(path: String, found: UInt64, expected: UInt64)
    /// A piece of the image does not have the checksum that its state file requires. Offset of the piece in bytes.
    case changedContents(path: String, offset: UInt64)
    /// The image was written to while it was restored, and there are no checksums to tell what is right.
    case changedDuringRestore(path: String)
    /// The image is not all on the disk yet, because a piece of it cannot be read or is damaged.
    case notRestored(path: String, reason: String)
    /// The image is larger than the disk. In bytes.
    case tooLarge(path: String, size: UInt64, diskSize: UInt64)
    /// A sparse disk has no memory for the image's contents. Size of the disk in bytes.
    case noMemory(path: String, diskSize: UInt64)
    /// The disk could not be read for a save.
    case unreadableDisk(String)
    /// A save is complete in the journal, and could not be moved to the image for this reason.
    case unfinished(path: String, reason: String)
    /// A system call failed, for this action on this file.
    case system(action: String, file: String, Errno)
    /// The caller cancelled a save or a restore.
    case cancelled

    /// The problem, the file, and what to do.
    package var description: String {
        switch self {
        case .noDirectory(let path):
            "there is no directory \(path) for an image; create it, or choose another path"
        case .notFile(let path, let kind):
            "\(path) is \(kind.text), and an image is a regular file; choose another path"
        case .inUse(let path, let pid):
            "the image \(path) is in use by "
                + (pid.map { "the process with pid \($0)" } ?? "another process")
                + "; stop it, or choose another image"
        case .tooLarge(let path, let size, let diskSize):
            "the image \(path) of \(size.bytesText) does not fit on a disk of \(diskSize.bytesText); "
                + "choose a larger size"
        case .noMemory(let path, let diskSize):
            "there is no memory for the contents of \(path) on a disk of \(diskSize.bytesText); free "
                + "memory, and start again"
        case .notRestored(let path, let reason):
            "the disk is not restored from \(path) yet: \(reason)"
        case .unreadableDisk(let reason):
            "the disk cannot be read, so it was not saved: \(reason)"
        case .unfinished(let path, let reason):
            "a save of \(path) is complete in \(path).journal, but not yet in the image: \(reason); the "
                + "next save or start continues, so keep both files"
        case .system(let action, let file, let error):
            "cannot \(action) \(file): \(error)" + (Self.advice(error).map { "; \($0)" } ?? "")
        case .cancelled: "the save or restore was cancelled; the image is unchanged"
        default: mismatch
        }
    }

    /// The problem with existing files, and how to accept or replace them.
    private var mismatch: String {
        switch self {
        case .damagedState(let path):
            "\(path).state is damaged, so \(path) cannot be checked; put back a copy of both, or delete "
                + "\(path).state to accept the image as it is"
        case .otherVersion(let file, let found):
            "\(file) has version \(found), and this program reads version \(ImageState.version); use the "
                + "program that wrote it"
        case .imageMissing(let path):
            "\(path) is missing, and \(path).state describes it; put the image back, or delete "
                + "\(path).state to start with an empty disk"
        case .strayJournal(let path):
            "\(path).journal holds a save that does not belong to \(path) and \(path).state; put back "
                + "the files that belong together, or delete \(path).journal to ignore that save"
        case .wrongLength(let path, let found, let expected):
            "\(path) has \(found) bytes, and \(path).state requires \(expected); put back a copy of the "
                + "image, or delete \(path).state to accept it as it is"
        case .changedContents(let path, let offset):
            "\(path) is not as it was saved: the checksum of the piece at offset \(offset) is wrong, "
                + "because the file is damaged or another program has written to it (mount -o loop, "
                + "say); put back a copy, or delete \(path).state to accept the image as it is"
        case .changedDuringRestore(let path):
            "another program has written to \(path) while it was restored, and without \(path).state nothing "
                + "tells what is right; stop that program, and start again"
        default: ""
        }
    }

    /// The remedy for an error of the kernel, where one is known.
    private static func advice(_ error: Errno) -> String? {
        switch error {
        case .noSpace, .diskQuotaExceeded: "free space on its file system"
        case .fileTooLarge: "choose a file system that takes files of this size"
        case .readOnlyFileSystem: "choose a directory that can be written to"
        case .permissionDenied, .notPermitted: "choose a directory that this user may write to"
        default: nil
        }
    }
}

extension FileStatus.Kind {
    /// A noun with its article.
    fileprivate var text: String {
        switch self {
        case .regular: "a regular file"
        case .directory: "a directory"
        case .symbolicLink: "a symbolic link"
        case .device: "a device"
        case .other: "a pipe or a socket"
        }
    }
}
