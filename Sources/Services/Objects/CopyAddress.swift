package import Primitives

/// The object that a Destination or X-Copy-From header names.
package enum CopyAddress {
    /// `container/object`, percent-encoded, with or without a leading slash.
    ///
    /// Throws `.preconditionFailed` when either part is missing or empty, or the text is not UTF-8 without NUL.
    ///
    /// - Parameters:
    ///   - header: the header's name, for the message.
    ///   - account: the account it lies in: the request's own, or the one that the `…-Account` header names.
    package static func parse(_ value: String, header: StaticString, account: Bytes) throws(ObjectError) -> ObjectPath {
        let malformed = ObjectError.preconditionFailed(
            "\(header) header must be of the form <container name>/<object name>")
        // A query may follow (`?version-id=`, `?multipart-manifest=`): features that are not announced.
        guard let decoded = PercentCoding.decode(Array(value.utf8)), isValidUTF8(decoded), !decoded.contains(0) else {
            throw malformed
        }
        let text = decoded.first == UInt8(ascii: "/") ? decoded.dropFirst() : decoded[...]
        guard let slash = text.firstIndex(of: UInt8(ascii: "/")), slash > text.startIndex, slash + 1 < text.endIndex
        else {
            throw malformed
        }
        return ObjectPath(account: account, container: Bytes(text[..<slash]), object: Bytes(text[(slash + 1)...]))
    }

    /// The `Destination-Account` or `X-Copy-From-Account` header: an account's name, percent-encoded, without slash.
    package static func account(_ value: String, header: StaticString) throws(ObjectError) -> Bytes {
        guard let decoded = PercentCoding.decode(Array(value.utf8)), isValidUTF8(decoded), !decoded.isEmpty,
            !decoded.contains(0), !decoded.contains(UInt8(ascii: "/"))
        else { throw .preconditionFailed("\(header) header is not the name of an account") }
        return Bytes(decoded)
    }
}
