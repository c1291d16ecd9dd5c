// swift-tools-version: 6.2
// The folders under Sources/ are the floors of ARCHITECTURE.md: a target depends only on lower floors
// (Tests/TidyTests checks the imports against this file).

import Foundation
import PackageDescription

/// `APUS_WITHOUT_FACES=1` leaves out what speaks HTTP and the daemon above it (floors 4 and 5), and with them every
/// dependency but swift-crypto and GRDB: tests and sanitizer builds of the engine and the services then start in a few
/// minutes instead of ten.
let withoutFaces = ProcessInfo.processInfo.environment["APUS_WITHOUT_FACES"] == "1"

let language: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// For targets whose work is rules and text, where every use of raw memory must be spelled out.
let strict: [SwiftSetting] = language + [.strictMemorySafety()]

/// For targets whose work is raw memory: codecs, disks, the log, the socket-to-disk path. Their dynamic exclusivity
/// checks (a tenth of a small GET) are on in debug builds, where all tests run, and off in release.
let bytes: [SwiftSetting] =
    language + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

// MD5, SHA-2, HMAC, scrypt and AES: BoringSSL's assembly, no code of ours.
var dependencies: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    // control.db: typed rows, migrations.
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
]
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")

var products: [Product] = []

var targets: [Target] = [
    // Floor 0: system libraries, units, codecs, the only file system calls.
    .systemLibrary(name: "CLZ4", path: "Sources/System/CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "CSQLite", path: "Sources/System/CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CZlib", path: "Sources/System/CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", path: "Sources/System/CZstd", providers: [.apt(["libzstd-dev"])]),
    .target(
        name: "CXXHash", path: "Sources/System/CXXHash",
        // Optimised in debug builds too: every byte of every test passes through it.
        cSettings: [.unsafeFlags(["-O2"])]),
    .target(name: "CCRC32", path: "Sources/System/CCRC32"),
    .target(name: "CLinux", path: "Sources/System/CLinux"),
    .target(name: "CSandbox", path: "Sources/System/CSandbox"),
    .target(name: "Primitives", dependencies: ["CLinux"], path: "Sources/System/Primitives", swiftSettings: bytes),
    .target(
        name: "Codecs", dependencies: ["CCRC32", "CLZ4", "CXXHash", "CZlib", "CZstd", "Primitives", crypto],
        path: "Sources/System/Codecs", swiftSettings: bytes),
    .target(name: "Disks", dependencies: ["CLinux", "Primitives"], path: "Sources/System/Disks", swiftSettings: bytes),

    // Floor 1.
    .target(
        name: "Chunks", dependencies: ["CSQLite", "Codecs", "Disks", "Primitives"],
        path: "Sources/Engine/Chunks", swiftSettings: bytes),
    .target(
        name: "Rings", dependencies: ["Codecs", "Primitives"], path: "Sources/Placement/Rings", swiftSettings: strict),

    // Floor 2.
    .target(
        name: "Records", dependencies: ["Primitives", grdb], path: "Sources/Records/Records", swiftSettings: strict),

    .target(
        name: "BlockDevices", dependencies: ["Primitives"], path: "Sources/Block/BlockDevices", swiftSettings: bytes),
    .target(
        name: "SCSI", dependencies: ["BlockDevices", "Primitives"], path: "Sources/Block/SCSI",
        swiftSettings: bytes),
    .target(
        name: "ISCSI", dependencies: ["BlockDevices", "CLinux", "Codecs", "Primitives", "SCSI", crypto],
        path: "Sources/Block/ISCSI", swiftSettings: bytes),
    .target(
        name: "ImageFormats", dependencies: ["Codecs"], path: "Sources/Block/ImageFormats", swiftSettings: bytes),
    .target(
        name: "VolumeDrivers", dependencies: ["Primitives"], path: "Sources/Block/VolumeDrivers", swiftSettings: strict),
    .target(
        name: "ChunkVolumes", dependencies: ["BlockDevices", "Chunks", "Primitives", "VolumeDrivers"],
        path: "Sources/Block/ChunkVolumes", swiftSettings: bytes),

    // Floor 3.
    .target(
        name: "Volumes", dependencies: ["Primitives", "Records", "VolumeDrivers", crypto, grdb],
        path: "Sources/Services/Volumes", swiftSettings: strict),
    .target(
        name: "Images", dependencies: ["Codecs", "ImageFormats", "Primitives", "Records", crypto, grdb],
        path: "Sources/Services/Images", swiftSettings: strict),
    .target(
        name: "Identity", dependencies: ["Records", "Primitives", "Codecs", crypto, cryptoExtras, grdb],
        path: "Sources/Services/Identity", swiftSettings: strict),
    .target(
        name: "Objects", dependencies: ["Chunks", "Codecs", "Primitives", "Rings"],
        path: "Sources/Services/Objects", swiftSettings: strict),

    .testTarget(name: "PrimitivesTests", dependencies: ["Primitives"], swiftSettings: bytes),
    .testTarget(
        name: "CodecsTests", dependencies: ["CCRC32", "CXXHash", "Codecs", "Primitives"], swiftSettings: bytes),
    .testTarget(name: "DisksTests", dependencies: ["Disks", "Primitives"], swiftSettings: bytes),
    .testTarget(name: "ChunksTests", dependencies: ["Chunks", "Codecs", "Disks", "Primitives"], swiftSettings: bytes),
    .testTarget(name: "RingsTests", dependencies: ["Rings", "Codecs", "Primitives", crypto], swiftSettings: bytes),
    .testTarget(name: "ImageFormatsTests", dependencies: ["CZlib", "ImageFormats"], swiftSettings: bytes),
    .testTarget(
        name: "BlockDevicesTests", dependencies: ["BlockDevices", "Primitives"], swiftSettings: bytes),
    .testTarget(name: "SCSITests", dependencies: ["BlockDevices", "Primitives", "SCSI"], swiftSettings: bytes),
    .testTarget(
        name: "ISCSITests", dependencies: ["BlockDevices", "Codecs", "ISCSI", "Primitives", "SCSI"],
        swiftSettings: bytes),
    .testTarget(
        name: "IdentityTests", dependencies: ["Codecs", "Identity", "Records", "Primitives", grdb], swiftSettings: bytes
    ),
    .testTarget(
        name: "ObjectsTests", dependencies: ["Objects", "Chunks", "Codecs", "Disks", "Primitives", "Rings"],
        swiftSettings: bytes),
]

if !withoutFaces {
    dependencies += [
        // The object path's transport (HTTP/1.1 parser, event loops) and TLS.
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        // The control planes' router and server.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        // The parts of requests as that server's channels pass them, for a deadline of our own on them.
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        // Both commands' arguments, the daemon's configuration sources, its log, its service group.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ]
    let nio: [Target.Dependency] = [
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
    ]
    let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
    let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
    let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
    let hummingbirdTLS: Target.Dependency = .product(name: "HummingbirdTLS", package: "hummingbird")
    let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
    let httpParts: Target.Dependency = .product(name: "NIOHTTPTypes", package: "swift-nio-extras")
    let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
    let configuration: Target.Dependency = .product(name: "Configuration", package: "swift-configuration")
    let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
    let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

    products += [
        .executable(name: "apusd", targets: ["apusd"]),
        .executable(name: "apus", targets: ["apus"]),
    ]
    targets += [
        // Floor 4. HTTPFace is what the faces share, so it lies below its neighbours.
        .target(
            name: "HTTPFace", dependencies: ["Primitives", "Codecs", logging] + nio,
            path: "Sources/API/HTTPFace", swiftSettings: bytes),
        .target(
            name: "ObjectAPI", dependencies: ["HTTPFace", "Objects", "Chunks", "Codecs", "Primitives", logging] + nio,
            path: "Sources/API/ObjectAPI", swiftSettings: bytes),
        // What the control planes' faces share: JSON, addresses, the bodies of requests.
        .target(
            name: "ControlFace",
            dependencies: [
                "HTTPFace", "Primitives", hummingbird, httpTypes, .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/API/ControlFace", swiftSettings: strict),
        .target(
            name: "IdentityAPI",
            dependencies: [
                "ControlFace", "HTTPFace", "Identity", "Primitives", hummingbird, httpTypes, logging,
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/API/IdentityAPI", swiftSettings: strict),
        .target(
            name: "VolumeAPI",
            dependencies: [
                "Codecs", "ControlFace", "HTTPFace", "Primitives", "VolumeDrivers", "Volumes", hummingbird, httpTypes,
                logging,
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/API/VolumeAPI", swiftSettings: strict),
        .target(
            name: "ImageAPI",
            dependencies: [
                "ControlFace", "HTTPFace", "Images", "Primitives", hummingbird, httpTypes, logging,
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/API/ImageAPI", swiftSettings: strict),
        // Floor 5.
        .target(
            name: "Daemon",
            dependencies: [
                "BlockDevices", "CSandbox", "ChunkVolumes", "Chunks", "Codecs", "ControlFace", "Disks", "HTTPFace",
                "ISCSI", "Identity",
                "IdentityAPI", "ImageAPI", "Images", "ObjectAPI", "Objects", "Primitives", "Records", "Rings", "SCSI",
                "VolumeAPI",
                "VolumeDrivers", "Volumes", hummingbird, hummingbirdCore, hummingbirdTLS, httpParts, logging,
                configuration, crypto, lifecycle,
            ] + nio,
            path: "Sources/Daemon/Daemon", swiftSettings: bytes),
        .executableTarget(
            name: "apusd", dependencies: ["Daemon", arguments], path: "Sources/Daemon/apusd", swiftSettings: strict),
        .executableTarget(
            name: "apus", dependencies: ["Daemon", arguments], path: "Sources/Daemon/apus", swiftSettings: strict),

        .testTarget(
            name: "IdentityAPITests",
            dependencies: [
                "IdentityAPI", "Identity", "Records", "Primitives", "HTTPFace", "ControlFace", crypto,
                hummingbird, httpTypes, logging,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ], swiftSettings: bytes),
        .testTarget(
            name: "VolumesTests",
            dependencies: [
                "BlockDevices", "ChunkVolumes", "Chunks", "Disks", "Primitives", "Records", "VolumeDrivers", "Volumes",
            ],
            swiftSettings: bytes),
        .testTarget(
            name: "VolumeAPITests",
            dependencies: [
                "VolumeAPI", "VolumeDrivers", "Volumes", "Records", "Primitives", "HTTPFace", "ControlFace",
                hummingbird, httpTypes, logging,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ], swiftSettings: bytes),
        .testTarget(
            name: "ImagesTests", dependencies: ["ImageFormats", "Images", "Primitives", "Records", crypto, grdb],
            swiftSettings: bytes),
        .testTarget(
            name: "ImageAPITests",
            dependencies: [
                "ImageAPI", "Images", "Records", "Primitives", "HTTPFace", "ControlFace", hummingbird, httpTypes,
                logging,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ], swiftSettings: bytes),
        .testTarget(
            name: "HTTPFaceTests", dependencies: ["HTTPFace", "Primitives", logging, nioEmbedded] + nio,
            swiftSettings: bytes),
        .testTarget(
            name: "ObjectAPITests",
            dependencies: [
                "ObjectAPI", "HTTPFace", "Objects", "Chunks", "Codecs", "Disks", "Primitives", "Rings", logging,
            ] + nio,
            swiftSettings: bytes),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "Chunks", "Daemon", "apus", "apusd", "Disks", "HTTPFace", "Images", "Objects", "Primitives", "SCSI",
                "VolumeDrivers", "Volumes", logging,
                nioEmbedded,
                httpTypes,
                httpParts,
            ] + nio,
            exclude: ["tls_client.py"],
            swiftSettings: bytes),
        .testTarget(name: "TidyTests", swiftSettings: bytes),
    ]
}

// Benchmarks/ is no package of its own, because it measures what `package` access hides: a target of this one can see
// it. It is left out unless asked for, so that nobody builds or ships it by accident:
// APUS_BENCHMARKS=1 APUS_WITHOUT_FACES=1 swift run -c release --scratch-path .build-bench apus-bench
if ProcessInfo.processInfo.environment["APUS_BENCHMARKS"] == "1" {
    products.append(.executable(name: "apus-bench", targets: ["apus-bench"]))
    targets.append(
        .executableTarget(
            name: "apus-bench", dependencies: ["CXXHash", "Chunks", "Codecs", "Disks", "Primitives"],
            path: "Benchmarks/Sources/apus-bench", swiftSettings: bytes))
    products.append(.executable(name: "apus-lun", targets: ["apus-lun"]))
    targets.append(
        .executableTarget(
            name: "apus-lun",
            dependencies: ["BlockDevices", "ChunkVolumes", "Chunks", "Disks", "ISCSI", "Primitives", "SCSI"],
            path: "Benchmarks/Sources/apus-lun", swiftSettings: bytes))
}

let package = Package(name: "apus", products: products, dependencies: dependencies, targets: targets)
