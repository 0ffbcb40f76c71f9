internal import CLinux
internal import Glibc
package import LinuxIO
package import SystemPackage

/// An open block device. It is closed when the last reference to it goes.
package final class BlockDevice: Sendable {
    private let descriptor: Descriptor

    /// Opens a device for reading. As long as it is open exclusively, no process can mount it, swap to it, or
    /// make it a member of another device. open(2), `O_EXCL`
    ///
    /// - Throws: `resourceBusy` when the device is in such a use, and the caller wants to open it exclusively.
    package init(path: String, exclusive: Bool) throws(Errno) {
        descriptor = try Descriptor(
            opening: path, .readOnly, options: exclusive ? .exclusiveCreate : [])
    }

    /// Writes the dirty pages of the device's page cache, and waits for that. Unlike ``flush()``, it does not
    /// reach the device when no page is dirty. sync_file_range(2)
    ///
    /// - Throws: `ioError` when a page could not be written.
    package func writeDirtyPages() throws(Errno) {
        try checked(clinux_write_dirty_pages(descriptor.rawValue))
    }

    /// Writes the kernel's cached data of the device, and makes the device store it durably. fsync(2)
    package func flush() throws(Errno) {
        try checkedErrno(fsync(descriptor.rawValue))
    }

    /// Reads one page at an offset from the device itself, past the page cache. open(2), `O_DIRECT`
    package static func readPage(of path: String, at offset: Int) throws(Errno) {
        let file = try Descriptor(
            opening: path, .readOnly,
            options: FileDescriptor.OpenOptions(rawValue: clinux_direct_flag()))
        let buffer = try MemoryMapping(privateBytes: 4096)
        let count = unsafe pread(file.rawValue, buffer.region.base, 4096, off_t(offset))
        try checkedErrno(CInt(clamping: count))
    }
}

/// The use of a block device, as far as the kernel reports it.
package enum BlockDeviceUse {
    /// A process with its name.
    package struct User: Sendable, Hashable, CustomStringConvertible {
        /// The process id.
        package let pid: Int32
        /// The name of the process, at most 15 bytes.
        package let name: String

        /// `sleep (process 123)`.
        package var description: String { "\(name) (process \(pid))" }

        init(pid: Int32) {
            self.pid = pid
            let text = TextFile.read("/proc/\(pid)/comm") ?? ""
            name = String(text.prefix { $0 != "\n" })
        }
    }

    /// Returns the processes, other than this one, that have the device open. Processes that this one may not
    /// inspect are left out. proc(5), /proc/PID/fd
    package static func openers(of path: String) -> [User] {
        var wanted = stat()
        guard unsafe stat(path, &wanted) == 0 else { return [] }
        let name = path.split(separator: "/").last ?? ""
        return ProcessIdentity.allPIDs.filter { pid in
            pid != getpid()
                && Directory.names(in: "/proc/\(pid)/fd").contains { descriptor in
                    let link = "/proc/\(pid)/fd/\(descriptor)"
                    // The name is cheap to compare; stat(2) follows the link to the device itself.
                    guard target(ofLink: link)?.hasSuffix("/\(name)") == true else { return false }
                    var found = stat()
                    return unsafe stat(link, &found) == 0 && found.st_mode & S_IFMT == S_IFBLK
                        && found.st_rdev == wanted.st_rdev
                }
        }.map(User.init)
    }

    /// A mount in another mount namespace.
    package struct MountElsewhere: Sendable {
        /// A process in that namespace.
        package let user: User
        /// The namespace, as the kernel names it.
        package let namespace: String
        /// The mount, as that process sees it.
        package let mount: Mount
    }

    /// Returns the mount namespace of a process; nil when this process cannot read it. proc(5),
    /// /proc/PID/ns/mnt
    package static func mountNamespace(of pid: Int32) -> String? {
        target(ofLink: "/proc/\(pid)/ns/mnt")
    }

    /// Returns where the device is mounted in mount namespaces other than this process's.
    ///
    /// - Throws: the error of reading a mount table, unless its process has ended or belongs to a user whose
    ///   processes this one may not inspect.
    package static func mountsElsewhere(of path: String) throws(Errno) -> [MountElsewhere] {
        guard let own = target(ofLink: "/proc/self/ns/mnt") else { throw .noSuchFileOrDirectory }
        var namespaces: Set<String> = [own]
        var found: [MountElsewhere] = []
        for pid in ProcessIdentity.allPIDs {
            guard let namespace = mountNamespace(of: pid), namespaces.insert(namespace).inserted
            else { continue }
            do throws(Errno) {
                let table = Mount.parse(try TextFile.contents(of: "/proc/\(pid)/mountinfo"))
                for mount in table where mount.source == path {
                    found.append(
                        MountElsewhere(user: User(pid: pid), namespace: namespace, mount: mount))
                }
            } catch .noSuchFileOrDirectory, .noSuchProcess, .permissionDenied, .invalidArgument {
                // The process has ended, or may not be inspected. Another one of its namespace may do.
                namespaces.remove(namespace)
            } catch {
                throw error
            }
        }
        return found
    }

    /// Returns the devices that are built on this one, such as RAID arrays and logical volumes. sysfs,
    /// `holders`
    package static func holders(of name: String) -> [String] {
        Directory.names(in: "/sys/block/\(name)/holders")
    }

    /// Whether the machine swaps to the device. proc(5), /proc/swaps
    package static func isSwap(_ path: String) -> Bool {
        (TextFile.read("/proc/swaps") ?? "").split(separator: "\n").contains { line in
            line.split(separator: " ").first.map(String.init) == path
        }
    }

    /// Returns the text of a symbolic link; nil when it cannot be read. readlink(2)
    private static func target(ofLink path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe readlink(path, &bytes, bytes.count)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
