package import Primitives

/// Features of the Object API that `/info` does not announce here, where silence would cost a client its data or its
/// privacy: a request that relies on one is refused, with a text that says so (the table is in Objects.docc).
package enum UnannouncedFeatures {
    /// PUT, POST and COPY of an object.
    static func checkObject(_ headers: HeaderList) throws(ObjectError) {
        for header in headers where header.name.startsWithLowercase("x-") && !header.value.isEmpty {
            if header.name.matches("x-delete-at") || header.name.matches("x-delete-after") {
                throw .badRequest("Expiring objects are not supported by this server")
            }
            if header.name.matches("x-object-manifest") || header.name.matches("x-static-large-object") {
                throw .badRequest("Large object manifests are not supported by this server")
            }
            if header.name.startsWithLowercase("x-symlink-target") {
                throw .badRequest("Symbolic links are not supported by this server")
            }
        }
    }

    /// PUT and POST of a container by its owner.
    static func checkContainer(_ headers: HeaderList) throws(ObjectError) {
        for header in headers where header.name.startsWithLowercase("x-") && !header.value.isEmpty {
            if header.name.matches("x-versions-location") || header.name.matches("x-history-location") {
                throw .preconditionFailed("Versioned writes are disabled")
            }
            if header.name.matches("x-versions-enabled"), isTruthy(header.value) {
                throw .badRequest("Object versioning is not supported by this server")
            }
            if header.name.matches("x-container-sync-to") || header.name.matches("x-container-sync-key") {
                throw .badRequest("Container synchronisation is not supported by this server")
            }
        }
    }

    /// POST of an account.
    static func checkAccount(_ headers: HeaderList) throws(ObjectError) {
        for header in headers where header.name.startsWithLowercase("x-account-quota-") && !header.value.isEmpty {
            throw .badRequest("Account quotas are not supported by this server")
        }
    }

    /// Query items that change what a request means: for the face to ask, before anything else is done.
    ///
    /// `multipart-manifest=get` and `symlink=get` are not among them: they mean the plain object, which is what there is.
    package static func refusal(query: [(name: Bytes, value: Bytes)]) -> ObjectError? {
        for (name, value) in query {
            switch name.string {
            case "multipart-manifest":
                if value != "get" { return .badRequest("Large object manifests are not supported by this server") }
            case "version-id", "versions", "version_marker":
                return .badRequest("Object versioning is not supported by this server")
            case "extract-archive", "bulk-delete":
                return .badRequest("Bulk operations are not supported by this server")
            default: break
            }
        }
        return nil
    }
}
