import Codecs
import ControlFace
import HTTPTypes
import Volumes

extension Handlers {
    /// What `If-Match` asks of the metadata as it is, from 3.15 on.
    func condition(_ call: Call) -> @Sendable ([String: String]) -> Bool {
        guard call.version.minor >= 15, let wanted = call.matches else { return { _ in true } }
        return { facts in
            wanted.split(separator: ",").contains { item in
                let tag = item.filter { $0 != "\"" && $0 != " " }
                return tag == "*" || tag == Self.tag(Self.metadataBody(facts))
            }
        }
    }

    private static func metadataBody(_ facts: [String: String]) -> JSON { .of(["metadata": Views.facts(facts)]) }

    private static func tag(_ body: JSON) -> String {
        unsafe body.utf8.withUnsafeBytes { unsafe MD5.hash($0) }.hex
    }

    private func tagged(_ call: Call, _ facts: [String: String]) -> Reply {
        let body = Self.metadataBody(facts)
        var reply = Reply.ok(body)
        if call.version.minor >= 15 { reply.headers[.eTag] = Self.tag(body) }
        return reply
    }

    func showMetadata(_ call: Call, _ owner: VolumeService.MetadataOwner) async throws(VolumeError) -> Reply {
        tagged(call, try await volumes.metadata(owner, for: call.asker))
    }

    func writeMetadata(
        _ call: Call, _ owner: VolumeService.MetadataOwner, replacing: Bool
    ) async throws(VolumeError) -> Reply {
        guard let json = call.body?["metadata"], call.body?.members?.count == 1 else {
            throw .invalid("Malformed request body: 'metadata' is a required property")
        }
        let facts = try await volumes.setMetadata(
            owner, try Shape.facts(json, "metadata"), replacing: replacing, accepts: condition(call), for: call.asker)
        return tagged(call, facts)
    }

    func showMetadataItem(_ call: Call, _ owner: VolumeService.MetadataOwner) async throws(VolumeError) -> Reply {
        let facts = try await volumes.metadata(owner, for: call.asker)
        guard let value = facts[call.arguments[1]] else {
            throw .notFound(kind: "Metadata item", id: call.arguments[1])
        }
        return .ok(.of(["meta": Views.facts([call.arguments[1]: value])]))
    }

    func writeMetadataItem(_ call: Call, _ owner: VolumeService.MetadataOwner) async throws(VolumeError) -> Reply {
        let key = call.arguments[1]
        guard let json = call.body?["meta"], call.body?.members?.count == 1 else {
            throw .invalid("Malformed request body: 'meta' is a required property")
        }
        let facts = try Shape.facts(json, "meta")
        guard facts.count == 1, let value = facts[key] else {
            throw .invalid("Request body and URI mismatch")
        }
        _ = try await volumes.setMetadata(
            owner, facts, replacing: false, accepts: condition(call), for: call.asker)
        return .ok(.of(["meta": Views.facts([key: value])]))
    }
}
