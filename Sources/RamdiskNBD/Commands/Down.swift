// `ramdisk-nbd down`: a disk that `up` has brought up, back to nothing.

internal import ServerHost
internal import ProgramSupport
internal import KernelDisks
internal import ArgumentParser
internal import LinuxHost
internal import LinuxIO
internal import NBDKernel

struct Down: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Unmount and detach disks that `up` has brought up, and free their memory.",
        usage: "ramdisk-nbd down (<disk> | --all) [<options>]",
        discussion: """
            What the kernel still has to write is written first. A disk that is in use stays up. One \
            whose server is gone is served again if its memory is still there (--backing), to be \
            taken down in order.

            EXAMPLES
              By its mount point, or its device:
                ramdisk-nbd down /mnt/ramdisk
                ramdisk-nbd down /dev/nbd0

              All of them:
                ramdisk-nbd down --all
            """)

    @Argument(
        help: ArgumentHelp("Mount point, device or backing of the disk.", valueName: "disk"),
        completion: .file())
    var target: String?

    @Flag(name: .long, help: "Take all disks down.")
    var all = false

    @Flag(
        name: .long,
        help: "Detach also a disk that cannot be served again; what was not written is lost.")
    var force = false

    @OptionGroup(title: "Logs")
    var log: LogOptions

    func validate() throws {
        guard all != (target != nil) else {
            throw ValidationError(
                target == nil
                    ? "Which disk? Give its mount point or its device, or --all."
                    : "--all and \(target ?? ""): give one of them.")
        }
    }

    func run() throws {
        let records = try wanted()
        guard let directory = RuntimeDirectory() else { return }
        let takeDown = TakeDown(
            directory: directory, logger: log.quietLogger, isForced: force)
        var failures: [Failure] = []
        for record in records {
            do throws(Failure) {
                try takeDown(record)
            } catch {
                failures.append(error)
            }
        }
        // A start that was killed before it wrote its record has made this, and nothing else.
        Directory.removeEmpty(directory.path)
        for failure in failures.dropLast() { failure.tell() }
        if let failure = failures.last { throw failure }
    }

    private func wanted() throws(Failure) -> [DiskRecord] {
        let records = RuntimeDirectory()?.records ?? []
        guard let target else { return records }
        let path = absolutePath(target)
        let device = NBDDevice(path: target)
        // One disk, though a device, a mount point and a backing may have the same name: the surest sign counts.
        var attached: [DiskRecord] = []
        if let device {
            for record in records where try record.attachedDevice() == device {
                attached.append(record)
            }
        }
        for found in [
            attached, records.filter { $0.mountPoint == path },
            records.filter { $0.backing?.name == target },
        ] where !found.isEmpty {
            return found
        }
        if let device, (try? device.isConnected()) != false {
            throw .unavailable(
                "\(device) was not brought up by `ramdisk-nbd up`: use ramdisk-nbd detach \(device)"
            )
        }
        throw .unavailable("there is no disk at \(target); ramdisk-nbd list shows those there are")
    }
}
