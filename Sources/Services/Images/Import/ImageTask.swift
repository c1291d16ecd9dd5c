package enum ImageTaskStatus: String, Sendable, CaseIterable {
    case pending, processing, success, failure
}

/// Work on an image that goes on behind the request that began it.
package struct ImageTask: Sendable, Equatable {
    package var id: String
    /// `api_image_import`, or `import` for those made by the older interface.
    package var type: String
    package var status: ImageTaskStatus
    package var owner: String
    package var imageID: String?
    package var userID: String
    package var requestID: String
    /// JSON, as the request had it.
    package var input: String
    /// JSON.
    package var result: String?
    package var message: String
    package var createdAt: Int64
    package var updatedAt: Int64
    /// Set once it has ended.
    package var expiresAt: Int64?
}

/// How bytes get into an image behind the request.
package enum ImageImport: Sendable, Equatable {
    /// Those that were staged.
    case staged
    /// Those of an address.
    case web(String)
    /// Those that the image has, into further stores.
    case copy
    /// Those of another image here, with some of its properties.
    case other(image: String, region: String, interface: String)

    package var method: String {
        switch self {
        case .staged: "glance-direct"
        case .web: "web-download"
        case .copy: "copy-image"
        case .other: "glance-download"
        }
    }
}

package struct ImportRequest: Sendable, Equatable {
    package var source: ImageImport
    /// nil: all that there are, or the default one, as `allStores` says.
    package var stores: [String]?
    package var allStores: Bool
    package var allMustSucceed: Bool
    /// The request's body as JSON, for the task's view.
    package var input: String

    package init(source: ImageImport, stores: [String]?, allStores: Bool, allMustSucceed: Bool, input: String) {
        self.source = source
        self.stores = stores
        self.allStores = allStores
        self.allMustSucceed = allMustSucceed
        self.input = input
    }
}
