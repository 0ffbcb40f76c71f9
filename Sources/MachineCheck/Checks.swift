internal import KernelDisks
internal import LinuxHost
internal import LinuxIO
internal import ProgramSupport

extension Machine {
    /// The findings for `serve`, `up` and `attach`, the most important first.
    package var findings: [Finding] {
        [
            kernel, driver, permission, fileSystems, memory, lockedMemory, backings, hugePages,
            kernelTLS, pools, tracing, serviceManager,
        ] + [scheduler].compactMap(\.self)
    }

    // MARK: - Required by up and attach

    private var kernel: Finding {
        let numbers = kernelRelease.split { $0 == "." || $0 == "-" }.prefix(2).compactMap {
            Int($0)
        }
        guard numbers.count == 2, numbers[0] * 1_000 + numbers[1] < 5_014 else {
            return .ok("kernel", "Linux \(kernelRelease)")
        }
        return .missing(
            "kernel", "Linux \(kernelRelease), but up and attach need 5.14",
            remedy: "apt-get install linux-image-amd64")
    }

    private var driver: Finding {
        let name = "nbd driver"
        switch module("nbd") {
        case .present:
            let devices = names(in: "/sys/block").filter { $0.hasPrefix("nbd") }
            let attached = devices.count { exists("/sys/block/\($0)/pid") }
            let most = line("/sys/module/nbd/parameters/nbds_max").map { "nbds_max \($0), " } ?? ""
            return .ok(name, "loaded: \(most)\(devices.count) devices, \(attached) attached")
        case .loadable where hasProgram("modprobe"):
            return .ok(name, "a module, which up and attach load")
        case .loadable:
            return .missing(
                name, "a module, but modprobe is not installed", remedy: "apt-get install kmod")
        case .missing:
            return .missing(
                name, "this kernel has none; install one with the module nbd",
                remedy: "apt-get install linux-image-amd64")
        case .unknown:
            return .missing(
                name, "not loaded, and no modules here: load it on the host",
                remedy: "modprobe nbd")
        }
    }

    private var permission: Finding {
        capabilities.has(.administration)
            ? .ok("permission", "this user may attach devices and mount")
            : .missing(
                "permission", "up and attach need root, or CAP_SYS_ADMIN",
                remedy: "sudo ramdisk-nbd doctor")
    }

    private var fileSystems: Finding {
        let kinds = FileSystemKind.allCases.filter { $0 != .none }
        let missing = kinds.filter { !hasProgram($0.maker.program) }
        let present = kinds.filter { !missing.contains($0) }.map(\.rawValue)
        let text = present.isEmpty ? "none" : present.joined(separator: ", ")
        guard !missing.isEmpty else { return .ok("mkfs programs", text) }
        let names = missing.map(\.rawValue).joined(separator: ", ")
        return Finding(
            name: "mkfs programs", state: present.isEmpty ? .missing : .optional,
            text: "\(text); not \(names)",
            remedy: "apt-get install " + missing.map(\.maker.package).joined(separator: " "))
    }

    // MARK: - Memory

    private var memory: Finding {
        let total = fields("/proc/meminfo").bytes(ofKiB: "MemTotal").map { " of \(size($0))" } ?? ""
        return .ok("memory", availableMemory.map { "\(size($0))\(total) available" } ?? "unknown")
    }

    private var lockedMemory: Finding {
        let name = "locked memory"
        guard let limit = self.limit("Max locked memory"), !capabilities.has(.memoryLocking) else {
            return .ok(name, "no limit for this user")
        }
        return .optional(
            name, "at most \(size(limit)); a larger disk can be swapped out",
            remedy: "ulimit -l unlimited")
    }

    private var backings: Finding {
        let name = "backings"
        guard let mount = mounts.last(where: { $0.point == "/dev/shm" }), mount.type == "tmpfs",
            let use = fileSystem(at: "/dev/shm")
        else {
            return .optional(
                name, "/dev/shm is not a tmpfs, which --backing needs",
                remedy: "mount -t tmpfs tmpfs /dev/shm")
        }
        let free = Int(use.size - use.used)
        let text = "/dev/shm: \(size(free)) of \(size(Int(use.size))) free"
        // Less than half of the memory: a container's 64 MiB, say. The kernel's default is half of all.
        guard let availableMemory, free < availableMemory / 2 else { return .ok(name, text) }
        return .optional(
            name, text + ", less than memory", remedy: "mount -o remount,size=80% /dev/shm")
    }

    private var hugePages: Finding {
        let name = "huge pages"
        let meminfo = fields("/proc/meminfo")
        func count(_ field: String) -> Int { meminfo[field].flatMap { Int($0) } ?? 0 }
        let unit = meminfo.bytes(ofKiB: "Hugepagesize") ?? 0
        guard unit > 0 else {
            return .optional(name, "this kernel has none, so no --huge-pages", remedy: nil)
        }
        guard count("HugePages_Total") > 0 else {
            return .optional(
                name, "none are reserved; only --huge-pages needs them",
                remedy: "sysctl vm.nr_hugepages=\((1 << 30) / unit)")
        }
        let free = max(0, count("HugePages_Free") - count("HugePages_Rsvd")) * unit
        let text = "\(size(free)) of \(size(count("HugePages_Total") * unit)) free"
        guard mounts.contains(where: { $0.type == "hugetlbfs" }) else {
            return .optional(
                name, text + ", no hugetlbfs",
                remedy: "mount -t hugetlbfs none /dev/hugepages")
        }
        return .ok(name, text)
    }

    private func size(_ bytes: Int) -> String { Units.bytes(Double(bytes)) }

    // MARK: - Optional

    private var kernelTLS: Finding {
        switch module("tls") {
        case .present: .ok("kernel TLS", "loaded")
        case .loadable:
            .optional("kernel TLS", "not loaded; TLS is slower without", remedy: "modprobe tls")
        case .missing, .unknown:
            .optional("kernel TLS", "not in this kernel; TLS is slower without", remedy: nil)
        }
    }

    private var pools: Finding {
        guard hasProgram("mdadm") else {
            return .optional(
                "pools", "mdadm is not installed, which pool needs", remedy: "apt-get install mdadm"
            )
        }
        return .ok("pools", "mdadm is installed")
    }

    private var tracing: Finding {
        let tracefs = mounts.first { $0.type == "tracefs" }
        guard let tracefs else {
            return .optional(
                "tracefs", "not mounted; probes and tracers need it",
                remedy: "mount -t tracefs tracefs /sys/kernel/tracing")
        }
        return .ok("tracefs", "at \(tracefs.point)")
    }

    private var serviceManager: Finding {
        guard exists("/run/systemd/system") else {
            return .optional("systemd", "not running, so no units", remedy: nil)
        }
        // On the machine under a fake root, there is no such program to ask.
        let result = root.isEmpty ? try? ChildProcess.run("systemctl", ["--version"]) : nil
        let version = result?.output.split(separator: "\n").first ?? "systemd"
        return .ok("systemd", String(version))
    }
}
