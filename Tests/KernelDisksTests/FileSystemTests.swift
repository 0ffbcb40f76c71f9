import Testing

@testable import KernelDisks

@Suite("The arguments of mount")
struct FileSystemTests {
    private func arguments(
        isReadOnly: Bool = false, options: String? = nil, isNew: Bool = false,
        needsNetwork: Bool = false
    ) -> [String] {
        FileSystemConfiguration(
            kind: .ext4, makeOptions: [], mountPoint: "/m", mountOptions: options,
            isReadOnly: isReadOnly
        ).mountArguments("/dev/x", "/m", isNew: isNew, needsNetwork: needsNetwork)
    }

    @Test("name the kind of a new file system, and all options in one word")
    func options() {
        #expect(arguments() == ["/dev/x", "/m"])
        #expect(arguments(isNew: true) == ["-t", "ext4", "/dev/x", "/m"])
        #expect(
            arguments(isReadOnly: true, options: "noatime,discard", needsNetwork: true)
                == ["-o", "ro,_netdev,noatime,discard", "/dev/x", "/m"])
    }
}
