/// Every bound of the image service, in one place.
package enum Limits {
    package static let nameMax = 255
    package static let tagMax = 255
    /// Custom properties, tags and members that one image may have.
    package static let propertiesMax = 128
    package static let tagsMax = 128
    package static let membersMax = 128
    package static let propertyNameMax = 255
    /// Bytes of one custom property's value.
    package static let propertyValueMax = 65_535
    package static let locationsMax = 10
    /// Rows in one page of a listing, and where the request says nothing.
    package static let pageMax = 1_000
    package static let pageDefault = 25
    /// What fits a signed 32-bit number.
    package static let smallNumberMax: Int64 = 2_147_483_647
    /// Operations in one PATCH.
    package static let changesMax = 1_024
    package static let workThreads = 2
    /// Requests that may wait for a database thread.
    package static let workQueueMax = 512
    /// Uploads and stagings under way; a further one is refused (503).
    package static let uploadsMax = 64
    /// Imports and conversions under way; a further one is refused (503).
    package static let tasksMax = 64
    /// Disks that are read out of images at a time.
    package static let conversionsMax = 2
    /// Images that may wait for the converter, which takes one at a time; a further volume from one is refused.
    package static let converterQueueMax = 16
    /// Steps of uploads and downloads that may wait for a thread: what `uploadsMax` and as many downloads can have.
    package static let dataQueueMax = 4_096
    /// One read of an image's bytes.
    package static let readBytes = 1 << 20
    // MARK: Metadata definitions
    package static let definitionNameMax = 80
    package static let definitionTextMax = 500
    package static let namespacesMax = 10_000
    /// Properties, objects and tags, of each, in one namespace.
    package static let definitionsMax = 1_000
    /// Resource types that one namespace is for.
    package static let associationsMax = 64
    package static let resourceTypesMax = 1_000
    /// Bytes of the documents in one namespace, together.
    package static let namespaceBytesMax = 1 << 20
    /// Bytes of a location's address.
    package static let locationBytesMax = 2_048
}
