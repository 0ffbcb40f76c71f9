// swift-tools-version: 6.3

import PackageDescription

/// What every target of ours is built with: Swift 6, unsafe code marked as such, no warnings.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The linker that comes with Swift. The usual one warns of a call in Swift's own Foundation (mktemp).
let linker: [LinkerSetting] = [.unsafeFlags(["-use-ld=lld"])]

let package = Package(
    name: "ramdisk-nbd",
    products: [
        .executable(name: "ramdisk-nbd", targets: ["RamdiskNBD"]),
        .executable(name: "nbd-load", targets: ["NBDLoad"]),
        .executable(name: "nbd-conformance", targets: ["NBDConformance"]),
        .library(name: "NBDServer", targets: ["NBDServer"]),
        .library(name: "NBDProtocol", targets: ["NBDProtocol"]),
    ],
    dependencies: [
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        // For `swift package generate-documentation`.
        .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    ],
    targets: [
        // The language of NBD; nothing but the standard library.
        .target(name: "NBDProtocol", swiftSettings: settings),

        // What the kernel gives us, owned and typed.
        .target(name: "CLinux"),
        .target(
            name: "LinuxIO",
            dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")],
            // For a span of a memory region that is not lent through a closure.
            swiftSettings: settings + [.enableExperimentalFeature("Lifetimes")]),

        // A client of any NBD server.
        .target(
            name: "NBDClient",
            dependencies: [
                "NBDProtocol", "LinuxIO",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // Services of the host that the engine does not need: processes, mounts, terminals, systemd.
        .target(
            name: "LinuxHost",
            dependencies: [
                "CLinux", "LinuxIO", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // TLS, from the system.
        .systemLibrary(
            name: "CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),

        // System call filters, from the system.
        .systemLibrary(
            name: "CSeccomp", pkgConfig: "libseccomp", providers: [.apt(["libseccomp-dev"])]),

        // What a server gives up once it is ready.
        .target(
            name: "Confinement",
            dependencies: [
                "CSeccomp", "CLinux", "LinuxIO",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // The engine.
        .target(
            name: "NBDServer",
            dependencies: [
                "NBDProtocol", "LinuxIO", "CGnuTLS", "CLinux",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // Disks in files: saving and restoring them.
        .target(
            name: "DiskImages",
            dependencies: [
                "NBDServer", "NBDProtocol", "LinuxIO",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // The kernel's nbd driver.
        .target(
            name: "NBDKernel",
            dependencies: [
                "NBDClient", "NBDProtocol", "LinuxIO", "LinuxHost", "CLinux",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // What all of the program's modules share: errors as exit codes, addresses, directories, text for terminals.
        .target(
            name: "ProgramSupport",
            dependencies: [
                "LinuxIO", "LinuxHost",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // The statistics of a server: their model on the wire, and the control socket that serves them.
        .target(
            name: "Observability",
            dependencies: [
                "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: settings),

        // The clients of control sockets: stats, top, trace.
        .target(
            name: "ObservabilityClient",
            dependencies: [
                "Observability", "NBDProtocol", "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // What happens to the contents of served disks: snapshots and saves.
        .target(
            name: "DiskContents",
            dependencies: [
                "DiskImages", "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost", "ProgramSupport",
                "Observability",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // A server with everything around it, from start to stop.
        .target(
            name: "ServerHost",
            dependencies: [
                "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost", "ProgramSupport",
                "Observability", "DiskContents", "Confinement",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // Disks that are attached to this machine's kernel.
        .target(
            name: "KernelDisks",
            dependencies: [
                "ServerHost", "DiskContents", "NBDServer", "NBDKernel", "NBDProtocol", "LinuxIO",
                "LinuxHost", "Confinement",
                "ProgramSupport", "Observability", "ObservabilityClient",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // The servers of a service, by DNS.
        .target(
            name: "ServiceDiscovery", dependencies: ["CLinux", "LinuxIO"],
            swiftSettings: settings),

        // Arrays of kernel disks, on this machine and others.
        .target(
            name: "Pools",
            dependencies: [
                "ServiceDiscovery",
                "KernelDisks", "NBDKernel", "NBDProtocol", "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),

        // Certificates and keys for `ramdisk-nbd tls`.
        .target(
            name: "TLSCredentials",
            dependencies: [
                "CGnuTLS", "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // What a machine has and lacks for the program.
        .target(
            name: "MachineCheck",
            dependencies: [
                "KernelDisks", "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // Command lines in files.
        .target(
            name: "ConfigurationFiles",
            dependencies: [
                "LinuxIO", "LinuxHost", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // The command line, and nothing else.
        .executableTarget(
            name: "RamdiskNBD",
            dependencies: [
                "KernelDisks", "Pools", "ServerHost", "DiskContents", "Observability",
                "ObservabilityClient", "TLSCredentials", "ConfigurationFiles", "MachineCheck",
                "ProgramSupport", "NBDServer", "NBDKernel", "NBDClient", "NBDProtocol", "LinuxIO",
                "LinuxHost", "Confinement",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings, linkerSettings: linker),

        // The load generator of the benchmark.
        .executableTarget(
            name: "NBDLoad",
            dependencies: [
                "NBDClient", "NBDProtocol", "LinuxIO", "ProgramSupport",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ],
            path: "Benchmarks/NBDLoad",
            swiftSettings: settings, linkerSettings: linker),

        .testTarget(
            name: "NBDProtocolTests", dependencies: ["NBDProtocol"], swiftSettings: settings),
        .testTarget(
            name: "NBDClientTests",
            dependencies: ["NBDClient", "NBDProtocol", "LinuxIO"], swiftSettings: settings),
        .testTarget(
            name: "LinuxIOTests",
            dependencies: [
                "LinuxIO", "LinuxHost", .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "DiskImagesTests",
            dependencies: [
                "DiskImages", "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "DiskContentsTests",
            dependencies: [
                "DiskContents", "NBDServer", "Observability", "ProgramSupport", "LinuxIO",
                "LinuxHost", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "NBDKernelTests",
            dependencies: [
                "NBDKernel", "NBDProtocol", "LinuxIO", "LinuxHost",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "NBDLoadTests",
            dependencies: ["NBDLoad", "NBDProtocol", "LinuxIO", "ProgramSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "ObservabilityTests",
            dependencies: [
                "Observability", "ObservabilityClient", "ProgramSupport", "NBDServer",
                "NBDProtocol", "LinuxIO", "LinuxHost",
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ServerHostTests",
            dependencies: [
                "ServerHost", "Observability", "Confinement", "ProgramSupport", "NBDServer",
                "LinuxIO", "LinuxHost", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "KernelDisksTests",
            dependencies: [
                "KernelDisks", "ServerHost", "Observability", "ProgramSupport", "NBDServer",
                "NBDKernel", "LinuxIO", "LinuxHost",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "PoolsTests",
            dependencies: [
                "Pools", "KernelDisks", "NBDKernel", "NBDProtocol", "ServiceDiscovery", "LinuxIO",
                "LinuxHost", "ProgramSupport", "Harness",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "ServiceDiscoveryTests",
            dependencies: ["ServiceDiscovery", "LinuxHost", "Harness"],
            swiftSettings: settings),
        .testTarget(
            name: "RamdiskNBDTests",
            dependencies: [
                "RamdiskNBD", "KernelDisks", "Pools", "ServerHost", "Observability",
                "ObservabilityClient",
                "TLSCredentials", "ConfigurationFiles", "MachineCheck", "ProgramSupport",
                "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost", "Harness", "Confinement",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "NBDServerTests",
            dependencies: [
                "Harness", "NBDServer", "NBDProtocol", "LinuxIO", "LinuxHost", "CGnuTLS",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            swiftSettings: settings),

        // The program as a process, and as the peer of programs that others wrote. Depending on the
        // executable has it built before these run.
        .target(
            name: "Harness",
            dependencies: [
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Harness",
            swiftSettings: settings),
        .testTarget(
            name: "ProgramTests", dependencies: ["Harness", "RamdiskNBD"],
            exclude: ["SandboxProbe.c"], swiftSettings: settings),
        .testTarget(
            name: "InteropTests", dependencies: ["Harness", "RamdiskNBD"], swiftSettings: settings),
        .testTarget(
            name: "CountTests", dependencies: ["Harness", "RamdiskNBD"],
            exclude: ["AllocationCounter.c"], swiftSettings: settings),

        // The specification as cases to try on a server; for the tests, and for any other server.
        .target(
            name: "Conformance",
            dependencies: [
                "NBDProtocol", "LinuxIO",
                .product(name: "SystemPackage", package: "swift-system"),
            ],
            path: "Tests/Conformance",
            swiftSettings: settings),
        .executableTarget(
            name: "NBDConformance",
            dependencies: [
                "Conformance", "NBDProtocol",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/NBDConformance",
            swiftSettings: settings, linkerSettings: linker),
        .testTarget(
            name: "ConformanceTests",
            dependencies: ["Conformance", "Harness", "NBDProtocol", "RamdiskNBD"],
            swiftSettings: settings),
    ]
)

// The fuzz targets get their `main` from libFuzzer, so an ordinary build cannot link them. scripts/fuzz sets the
// variable, and builds them and all they depend on with libFuzzer and the address sanitizer. They are part of
// this package because they use its `package` declarations.
if Context.environment["RAMDISK_NBD_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "NBDFuzz",
            dependencies: [
                "KernelDisks", "ServerHost", "DiskContents", "DiskImages", "Observability",
                "ObservabilityClient", "ConfigurationFiles", "ProgramSupport", "NBDServer",
                "NBDKernel", "NBDProtocol", "LinuxIO", "LinuxHost", "CGnuTLS",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Fuzz/Sources/NBDFuzz", swiftSettings: settings))
}
