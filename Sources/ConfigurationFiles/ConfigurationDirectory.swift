internal import FoundationEssentials
internal import LinuxHost
internal import ProgramSupport

/// The directory of the configuration files: `NAME.toml` for each disk.
package struct ConfigurationDirectory: Sendable {
    package let path: String
    private static let suffix = ".toml"

    /// The directory that systemd has chosen for this unit (`ConfigurationDirectory=`), or /etc/ramdisk-nbd.
    /// systemd.exec(5)
    package init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        let chosen = environment["CONFIGURATION_DIRECTORY"]?.split(separator: ":").first
        path =
            chosen.map(String.init).flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/etc/ramdisk-nbd"
    }

    /// The paths of all files, sorted; none when the directory is missing.
    package var files: [String] { names.map { "\(path)/\($0)\(Self.suffix)" } }

    /// The names of all files, without the suffix, sorted.
    package var names: [String] {
        Directory.names(in: path).filter { $0.hasSuffix(Self.suffix) && !$0.hasPrefix(".") }
            .map { String($0.dropLast(Self.suffix.count)) }
    }

    /// Returns the path of the file with this name. A text with a slash is a path already.
    package func file(_ name: String) -> String {
        name.contains("/")
            ? name : "\(path)/\(name)\(name.hasSuffix(Self.suffix) ? "" : Self.suffix)"
    }
}
