internal import LinuxIO
internal import Glibc
package import SystemPackage

/// What uses a block device, as far as the kernel tells.
package enum BlockDeviceUse {
    /// A process, as people know it.
    package struct User: Sendable, Hashable, CustomStringConvertible {
        /// Its process id.
        package let process: Int32
        /// Its name, at most 15 bytes.
        package let name: String

        /// `sleep (process 123)`.
        package var description: String { "\(name) (process \(process))" }

        init(process: Int32) {
            self.process = process
            let text = TextFile.read("/proc/\(process)/comm") ?? ""
            name = String(text.prefix { $0 != "\n" })
        }
    }

    /// Processes other than this one that have the device open. Processes that this one may not look at are
    /// left out. proc(5), /proc/PID/fd
    package static func openers(of path: String) -> [User] {
        var wanted = stat()
        guard unsafe stat(path, &wanted) == 0 else { return [] }
        let name = path.split(separator: "/").last ?? ""
        return processes.filter { process in
            process != getpid()
                && Directory.names(in: "/proc/\(process)/fd").contains { descriptor in
                    let link = "/proc/\(process)/fd/\(descriptor)"
                    // The name is cheap to compare; stat(2) follows the link to the device itself.
                    guard LinkText.read(link)?.hasSuffix("/\(name)") == true else { return false }
                    var found = stat()
                    return unsafe stat(link, &found) == 0 && found.st_mode & S_IFMT == S_IFBLK
                        && found.st_rdev == wanted.st_rdev
                }
        }.map(User.init)
    }

    /// A mount in another mount namespace.
    package struct MountElsewhere: Sendable {
        /// A process that sees it.
        package let user: User
        /// The namespace, as the kernel names it.
        package let namespace: String
        /// The mount, as that process sees it.
        package let mount: Mount
    }

    /// The mount namespace of a process; nil when that is not to be known. proc(5), /proc/PID/ns/mnt
    package static func mountNamespace(of process: Int32) -> String? {
        LinkText.read("/proc/\(process)/ns/mnt")
    }

    /// Where the device is mounted in mount namespaces other than this process's.
    ///
    /// - Throws: what reading a table of mounts failed with, unless its process has ended or belongs to
    ///   somebody whom this one may not look at.
    package static func mountsElsewhere(of path: String) throws(Errno) -> [MountElsewhere] {
        guard let own = LinkText.read("/proc/self/ns/mnt") else { throw .noSuchFileOrDirectory }
        var namespaces: Set<String> = [own]
        var found: [MountElsewhere] = []
        for process in processes {
            guard let namespace = mountNamespace(of: process),
                namespaces.insert(namespace).inserted
            else { continue }
            do throws(Errno) {
                let table = Mount.parse(
                    try TextFile.contents(of: "/proc/\(process)/mountinfo"))
                for mount in table where mount.source == path {
                    found.append(
                        MountElsewhere(
                            user: User(process: process), namespace: namespace, mount: mount))
                }
            } catch .noSuchFileOrDirectory, .noSuchProcess, .permissionDenied, .invalidArgument {
                // The process has ended, or is not to be looked at. Another one of its namespace may do.
                namespaces.remove(namespace)
            } catch {
                throw error
            }
        }
        return found
    }

    /// Devices that are built on this one: RAID arrays, logical volumes. sysfs, `holders`
    package static func holders(of name: String) -> [String] {
        Directory.names(in: "/sys/block/\(name)/holders")
    }

    /// Whether the machine swaps to the device. proc(5), /proc/swaps
    package static func isSwap(_ path: String) -> Bool {
        (TextFile.read("/proc/swaps") ?? "").split(separator: "\n").contains { line in
            line.split(separator: " ").first.map(String.init) == path
        }
    }

    private static var processes: [Int32] { Directory.names(in: "/proc").compactMap { Int32($0) } }
}

/// What a symbolic link says. readlink(2)
enum LinkText {
    /// Nil when it cannot be read.
    static func read(_ path: String) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe readlink(path, &bytes, bytes.count)
        return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
