/// Which headers of a request become attributes, and which attributes become headers of an answer.
enum MetadataHeaders {
    typealias Tag = AttributeList.Tag

    /// The kinds of resource that carry user metadata.
    enum Resource: Sendable {
        case account, container, object

        var prefix: StaticString {
            switch self {
            case .account: "x-account-meta-"
            case .container: "x-container-meta-"
            case .object: "x-object-meta-"
            }
        }

        var removal: StaticString {
            switch self {
            case .account: "x-remove-account-meta-"
            case .container: "x-remove-container-meta-"
            case .object: "x-remove-object-meta-"
            }
        }

        var shown: String {
            switch self {
            case .account: "X-Account-Meta-"
            case .container: "X-Container-Meta-"
            case .object: "X-Object-Meta-"
            }
        }
    }

    /// The headers beside user metadata that a PUT or POST of an object keeps.
    static let kept: [(name: StaticString, tag: UInt8, shown: String)] = [
        ("content-encoding", Tag.contentEncoding, "Content-Encoding"),
        ("content-disposition", Tag.contentDisposition, "Content-Disposition"),
        ("cache-control", Tag.cacheControl, "Cache-Control"),
        ("content-language", Tag.contentLanguage, "Content-Language"),
        ("expires", Tag.expires, "Expires"),
        ("x-robots-tag", Tag.robots, "X-Robots-Tag"),
    ]

    /// No header of a request is longer than this (object-api.md 6.4).
    static func checkHeaderSizes(_ headers: HeaderList) throws(ObjectError) {
        for header in headers where header.value.utf8.count > ObjectLimits.headerValueBytesMax {
            throw .badRequest("Header value too long: \(header.name.prefix(20))")
        }
    }

    /// An object's attributes: what a PUT or POST replaces all of. An empty value is stored as such.
    static func objectAttributes(_ headers: HeaderList) throws(ObjectError) -> AttributeList {
        try checkHeaderSizes(headers)
        var list = AttributeList()
        for header in headers {
            if let name = try metadataName(header.name, Resource.object.prefix) {
                let value = Array(header.value.utf8)
                try checkValue(name, value)
                // A name that comes twice is one list, as HTTP says.
                if let index = list.attributes.firstIndex(where: { $0.tag == Tag.metadata && $0.name == name }) {
                    list.attributes[index].value += Array(",".utf8) + value
                    try checkValue(name, list.attributes[index].value)
                } else {
                    list.attributes.append(.init(tag: Tag.metadata, name: name, value: value))
                }
            } else if let tag = keptTag(header.name), !header.value.isEmpty {
                list.set(tag, Array(header.value.utf8))
            }
        }
        try list.checkMetadata()
        return list
    }

    /// Merges the metadata headers of a PUT or POST of an account or container: a value sets, an empty value or an
    /// `X-Remove-` header deletes, what is not named stays.
    ///
    /// - Parameter isOwner: others' privileged names are ignored (object-api.md 2.6).
    static func merge(
        _ headers: HeaderList, into list: inout AttributeList, _ resource: Resource, isOwner: Bool
    ) throws(ObjectError) {
        for header in headers {
            if let name = try metadataName(header.name, resource.removal) {
                if isOwner || !isPrivileged(name) { list.setMetadata(name, nil) }
            }
        }
        for header in headers {
            guard let name = try metadataName(header.name, resource.prefix), isOwner || !isPrivileged(name) else {
                continue
            }
            let value = Array(header.value.utf8)
            try checkValue(name, value)
            list.setMetadata(name, value.isEmpty ? nil : value)
        }
        try list.checkMetadata()
    }

    /// Appends user metadata, and for objects the kept headers, as an answer shows them.
    static func show(_ list: AttributeList, _ resource: Resource, isOwner: Bool, into headers: inout HeaderList) {
        for attribute in list.attributes {
            if attribute.tag == Tag.metadata {
                if resource == .object || isOwner || !isPrivileged(attribute.name) {
                    headers.append(
                        (resource.shown + titleCased(attribute.name), String(decoding: attribute.value, as: UTF8.self)))
                }
            } else if resource == .object, let kept = kept.first(where: { $0.tag == attribute.tag }) {
                headers.append((kept.shown, String(decoding: attribute.value, as: UTF8.self)))
            }
        }
    }

    /// Keys that sign temporary URLs: for owners' eyes only.
    static func isPrivileged(_ name: [UInt8]) -> Bool {
        name.elementsEqual("temp-url-key".utf8) || name.elementsEqual("temp-url-key-2".utf8)
    }

    private static func keptTag(_ name: String) -> UInt8? {
        for entry in kept where name.matches(entry.name) { return entry.tag }
        return nil
    }

    /// The lower-case rest of a header name behind a prefix, checked; nil when the prefix does not fit.
    private static func metadataName(_ header: String, _ prefix: StaticString) throws(ObjectError) -> [UInt8]? {
        guard header.startsWithLowercase(prefix) else { return nil }
        let name = header.utf8.dropFirst(prefix.utf8CodeUnitCount).map(asciiLowercase)
        guard !name.isEmpty else { throw .badRequest("Metadata name cannot be empty") }
        guard name.count <= ObjectLimits.metadataNameBytesMax else {
            throw .badRequest("Metadata name too long: \(String(decoding: name, as: UTF8.self))")
        }
        return name
    }

    private static func checkValue(_ name: [UInt8], _ value: [UInt8]) throws(ObjectError) {
        guard value.count <= ObjectLimits.metadataValueBytesMax else {
            throw .badRequest(
                "Metadata value longer than \(ObjectLimits.metadataValueBytesMax): "
                    + String(decoding: name, as: UTF8.self))
        }
        guard !value.contains(0) else { throw .badRequest("Metadata must be valid UTF-8 without NUL") }
    }
}
