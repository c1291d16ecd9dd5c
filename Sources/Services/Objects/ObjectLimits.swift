/// The bounds that `/info` publishes (object-api.md 1.3, 3, 6).
package enum ObjectLimits {
    package static let accountNameBytesMax = 256
    package static let containerNameBytesMax = 256
    package static let objectNameBytesMax = 1024
    package static let metadataNameBytesMax = 128
    package static let metadataValueBytesMax = 256
    package static let metadataCountMax = 90
    package static let metadataBytesMax = 4096
    package static let headerValueBytesMax = 8192
    package static let listingLimit = 10_000
    /// 5 GiB and 2.
    package static let objectBytesMax = 5_368_709_122
    /// More ranges than this in one request are refused (416).
    package static let rangeCountMax = 50
}
