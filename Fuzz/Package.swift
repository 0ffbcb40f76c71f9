// swift-tools-version: 6.2

import PackageDescription

// Fuzz targets, apart from the package itself: they are built with libFuzzer and the address
// sanitizer, through and through. scripts/fuzz does that.
let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "ramdisk-nbd", path: "..")],
    targets: [
        .executableTarget(
            name: "NBDFuzz",
            dependencies: [
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
            ])
    ]
)
