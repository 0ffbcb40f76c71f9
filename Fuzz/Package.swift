// swift-tools-version: 6.2

import PackageDescription

// Fuzz targets, apart from the package itself: they are built with libFuzzer and the address
// sanitizer, through and through. scripts/fuzz does that.

// They use what ramdisk-nbd keeps to its own package, so they are compiled as a part of it. SwiftPM
// names a package after its directory.
let directory =
    Context.packageDirectory.split(separator: "/").dropLast().last.map(String.init) ?? ""
let packageName = String(
    directory.lowercased().map { $0.isLetter || $0.isNumber || $0 == "_" ? $0 : "_" })

let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "ramdisk-nbd", path: "..")],
    targets: [
        .executableTarget(
            name: "NBDFuzz",
            dependencies: [
                // Has LinuxIO with it.
                .product(name: "NBDServer", package: "ramdisk-nbd"),
                .product(name: "NBDProtocol", package: "ramdisk-nbd"),
            ],
            swiftSettings: [
                .swiftLanguageMode(.v6),
                .strictMemorySafety(),
                .treatAllWarnings(as: .error),
                .enableUpcomingFeature("ExistentialAny"),
                .enableUpcomingFeature("InternalImportsByDefault"),
                .enableUpcomingFeature("MemberImportVisibility"),
                .unsafeFlags(["-package-name", packageName]),
            ])
    ]
)
