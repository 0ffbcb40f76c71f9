internal import FoundationEssentials
internal import LinuxHost
internal import LinuxIO
internal import SystemPackage

/// The machine that is checked: its files, and the output of its programs.
package struct Machine: Sendable {
    /// The directory that stands for `/`; empty for `/` itself.
    let root: String
    /// The directories in which programs are searched for.
    let programDirectories: [String]

    /// This machine.
    package init() {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        self.init(root: "", path: path)
    }

    /// A directory with the files of a machine. `path` is what `PATH` is there.
    init(root: String, path: String = "") {
        self.root = root
        // Debian installs mkfs in directories that are not in every user's PATH, and `up` finds it there.
        let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        programDirectories = path.split(separator: ":").map(String.init) + system
    }

    /// The text of a file; nil when it cannot be read.
    func text(_ path: String) -> String? { TextFile.read(root + path) }

    /// The first line of a file; nil when it cannot be read.
    func line(_ path: String) -> String? {
        text(path).map { String($0.prefix { $0 != "\n" }) }
    }

    func fields(_ path: String) -> ProcFields { ProcFields(path: root + path) }

    func names(in path: String) -> [String] { Directory.names(in: root + path) }

    func exists(_ path: String) -> Bool {
        (try? FileStatus.of(root + path, followingLinks: true)) != nil
    }

    func hasProgram(_ name: String) -> Bool {
        programDirectories.contains { exists("\($0)/\(name)") }
    }

    var mounts: [Mount] { Mount.parse(text("/proc/self/mountinfo") ?? "") }

    /// Bytes that can be allocated.
    var availableMemory: Int? { AvailableMemory.bytes(below: root) }

    /// The size of the file system at a path, and how much of it is in use.
    func fileSystem(at path: String) -> FileSystemUse? { FileSystemUse(path: root + path) }

    /// `uname -r`
    var kernelRelease: String { line("/proc/sys/kernel/osrelease") ?? "" }

    // MARK: - Modules

    /// The place of a part of the kernel that can be a module.
    enum ModuleState: Sendable {
        /// In the kernel, or loaded.
        case present
        /// A file that modprobe can load.
        case loadable
        /// Nowhere.
        case missing
        /// This system does not have the modules of its kernel, as in a container.
        case unknown
    }

    /// Returns where a module is. modules.dep(5), modules.builtin
    func module(_ name: String) -> ModuleState {
        if exists("/sys/module/\(name)") { return .present }
        for parent in ["/lib/modules", "/usr/lib/modules"] {
            let directory = "\(parent)/\(kernelRelease)"
            guard let dependencies = text("\(directory)/modules.dep") else { continue }
            if text("\(directory)/modules.builtin")?.contains("/\(name).ko") == true {
                return .present
            }
            return dependencies.contains("/\(name).ko") ? .loadable : .missing
        }
        return .unknown
    }

    // MARK: - This process

    /// The capabilities of this process.
    var capabilities: Capabilities { Capabilities(status: fields("/proc/self/status")) }

    /// The soft limit of a resource, as /proc/self/limits names it; nil without a limit. proc(5)
    func limit(_ name: String) -> Int? {
        let line = text("/proc/self/limits")?.split(separator: "\n").first { $0.hasPrefix(name) }
        let words = line?.dropFirst(name.count).split(separator: " ")
        return words?.first.flatMap { Int($0) }
    }
}
