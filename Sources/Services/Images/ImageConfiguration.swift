import Primitives

/// What the image service is started with.
package struct ImageConfiguration: Sendable {
    /// Names of the places that images are kept in, the default one first. With one name only there is nothing to choose
    /// from, and clients hear of none.
    package var stores: [String]
    /// The largest image, in bytes.
    package var sizeMax: Int64
    /// Bytes that one project's images may have together; nil: any.
    package var projectBytesMax: Int64?
    /// Images that one project may have; nil: any.
    package var projectImagesMax: Int?
    /// Whether the bytes must be of the declared format. Off, another one is taken too, but never one that reaches
    /// outside itself.
    package var requiresFormatMatch: Bool
    /// How images may be imported.
    package var importMethods: [String]
    /// Seconds that a finished task stays listed.
    package var taskSeconds: Int64
    /// The catalog's region, which other regions' images are told from.
    package var region = "RegionOne"
    /// How many threads hash at a time at best.
    package var cores = 2
    /// Takes a line for each failure behind the scenes, for operators.
    package var onFault: @Sendable (String) -> Void = { _ in }
    /// Takes a line for what goes on behind requests and takes long.
    package var onNotice: @Sendable (String) -> Void = { _ in }
    /// Unix seconds.
    package var now: @Sendable () -> Int64
    /// That many bytes from the system's CSPRNG.
    package var randomBytes: @Sendable (Int) -> [UInt8]

    package init(now: @escaping @Sendable () -> Int64, randomBytes: @escaping @Sendable (Int) -> [UInt8]) {
        stores = ["chunks"]
        sizeMax = 1 << 40
        requiresFormatMatch = true
        importMethods = ["glance-direct", "copy-image"]
        taskSeconds = 172_800
        self.now = now
        self.randomBytes = randomBytes
    }

    package static func standard() -> ImageConfiguration {
        ImageConfiguration(
            now: { TimestampClock.systemTicks() / Timestamp.ticksPerSecond },
            randomBytes: { count in
                var generator = SystemRandomNumberGenerator()
                return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            })
    }
}
