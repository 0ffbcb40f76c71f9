// swift-tools-version: 6.3

import PackageDescription

// Programs that use the libraries as any other package does: through their products alone.
let server: Target.Dependency = .product(name: "NBDServer", package: "ramdisk-nbd")

let package = Package(
    name: "Examples",
    dependencies: [.package(name: "ramdisk-nbd", path: "..")],
    targets: [
        .executableTarget(name: "CustomStore", dependencies: [server]),
        .executableTarget(name: "EmbeddedServer", dependencies: [server]),
        .testTarget(name: "DiskPerTest", dependencies: [server]),
    ]
)
