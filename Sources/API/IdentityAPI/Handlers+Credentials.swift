import ControlFace
import HTTPTypes
import Identity
import Primitives

/// Credentials, key pairs for EC2 and S3, and the tokens that signed requests are exchanged for.
extension Handlers {
    func answerCredentials(_ call: Call) throws(IdentityError) -> Reply {
        let views = Views(base: call.base)
        switch (call.route, call.method) {
        case (.credentials, .post): return try createCredential(call)
        case (.credential(let id), .patch):
            _ = try owned(call, id, "update_credential", changes: true)
            let fields = try call.fields("credential")
            let old = try identity.credential(id: id)
            for (name, value) in [("type", old.type), ("user_id", old.userID), ("project_id", old.projectID ?? "")] {
                guard let wanted = try fields.optionalString(name), wanted != value else { continue }
                throw .invalid("Invalid input for field '\(name)': it can't be changed.")
            }
            let blob = try fields.optionalString("blob")
            if old.type == "ec2", let blob { _ = try keyPair(blob) }
            let changed = try identity.updateCredential(
                id: id, blob: blob.map { Secret($0) }, extra: try fields.extra(besides: Self.credentialFields))
            return Reply(.ok, .of(["credential": views.credential(changed)]))
        case (.credential(let id), .delete):
            _ = try owned(call, id, "delete_credential", changes: true)
            try identity.deleteCredential(id: id)
            return .noContent
        case (.credential(let id), _):
            return Reply(
                .ok, .of(["credential": views.credential(try owned(call, id, "get_credential", changes: false))]))
        default:
            let caller = try authenticated(call)
            try identity.checkMayDelegate(caller, "list_credentials")
            var userID = call.query["user_id"]
            if !caller.hasRole("admin"), !caller.readsSystem {
                // Others' are not there for them.
                if let userID, userID != caller.user.id {
                    return Reply(.ok, views.list("credentials", path: "credentials", [Credential](), views.credential))
                }
                userID = caller.user.id
            }
            let items = try identity.credentials(ofUser: userID, type: call.query["type"])
            return Reply(.ok, views.list("credentials", path: "credentials", items, views.credential))
        }
    }

    private func createCredential(_ call: Call) throws(IdentityError) -> Reply {
        let caller = try authenticated(call)
        try refuseDelegated(caller, "create_credential")
        let fields = try call.fields("credential")
        let type = try fields.string("type")
        let blob = try fields.string("blob")
        let userID = try fields.optionalString("user_id") ?? caller.user.id
        let projectID = try fields.optionalString("project_id")
        if !caller.hasRole("admin") {
            guard userID == caller.user.id, projectID == nil || projectID == caller.caller.project?.id else {
                throw .forbidden(action: "identity:create_credential")
            }
        }
        var access: String?
        if type == "ec2" {
            access = try keyPair(blob).access
            guard projectID != nil else { throw .invalid("'project_id' is a required property") }
        }
        let made = try identity.createCredential(
            type: type, blob: Secret(blob), access: access, userID: userID, projectID: projectID,
            extra: try fields.extra(besides: Self.credentialFields))
        return Reply(.created, .of(["credential": Views(base: call.base).credential(made)]))
    }

    private static let credentialFields: Set<String> = ["type", "blob", "user_id", "project_id"]

    /// The credential if the caller may see it, or change it.
    private func owned(
        _ call: Call, _ id: String, _ action: String, changes: Bool
    ) throws(IdentityError) -> Credential {
        let caller = try authenticated(call)
        // Nor does it read what is good for more.
        if changes { try refuseDelegated(caller, action) } else { try identity.checkMayDelegate(caller, action) }
        let credential = try identity.credential(id: id)
        guard credential.userID == caller.user.id || caller.hasRole("admin") || !changes && caller.readsSystem else {
            throw .forbidden(action: "identity:\(action)")
        }
        return credential
    }

    /// What was delegated is good for its project and roles; a key made with it would be good for all of the user's.
    private func refuseDelegated(_ caller: TokenInfo, _ action: String) throws(IdentityError) {
        guard caller.applicationCredential == nil else { throw .forbidden(action: "identity:\(action)") }
        try identity.checkMayDelegate(caller, action)
    }

    /// The two keys in a blob of the type `ec2`; 400 for anything else.
    private func keyPair(_ blob: String) throws(IdentityError) -> (access: String, secret: Secret) {
        guard let json = JSONParser.parse(Array(blob.utf8)), let access = json["access"]?.string, !access.isEmpty,
            let secret = json["secret"]?.string, !secret.isEmpty
        else { throw .invalid("Invalid input for field 'blob': it must be JSON with an access and a secret.") }
        return (access, Secret(secret))
    }

    private func keyPair(_ credential: Credential) throws(IdentityError) -> (access: String, secret: Secret) {
        try keyPair(String(decoding: credential.blob.bytes, as: UTF8.self))
    }

    // MARK: Key pairs.

    func answerKeyPairs(_ call: Call, userID: String) throws(IdentityError) -> Reply {
        let caller = try authenticated(call)
        guard caller.user.id == userID || caller.hasRole("admin") || call.method == .get && caller.readsSystem else {
            throw .forbidden(action: "identity:ec2_\(call.method == .post ? "create_credential" : "list_credentials")")
        }
        try identity.checkMayDelegate(caller, "ec2_list_credentials")
        guard call.method == .post else {
            var items: [JSON] = []
            for credential in try identity.credentials(ofUser: userID, type: "ec2").items {
                items.append(try view(credential, call))
            }
            let path = "users/\(userID)/credentials/OS-EC2"
            return Reply(.ok, Views(base: call.base).list("credentials", path: path, items) { $0 })
        }
        try refuseDelegated(caller, "ec2_create_credential")
        guard let body = call.body else { throw .invalid(ErrorText.malformed) }
        let projectID = try Fields(body, path: "").string("tenant_id")
        // A key is good for the project that its maker is in; an administrator's for any.
        guard caller.hasRole("admin") || projectID == caller.caller.project?.id else {
            throw .forbidden(action: "identity:ec2_create_credential")
        }
        let (access, secret) = (identity.randomHex(), identity.randomHex())
        let blob = JSON.of(["access": .string(access), "secret": .string(secret), "trust_id": .null]).utf8
        let made = try identity.createCredential(
            type: "ec2", blob: Secret(blob), access: access, userID: userID, projectID: projectID, extra: "{}")
        return Reply(.created, .of(["credential": try view(made, call)]))
    }

    func answerKeyPair(_ call: Call, userID: String, _ access: String) throws(IdentityError) -> Reply {
        let isDeletion = call.method == .delete
        let action = isDeletion ? "ec2_delete_credential" : "ec2_get_credential"
        let caller = try authenticated(call)
        guard caller.user.id == userID || caller.hasRole("admin") || !isDeletion && caller.readsSystem else {
            throw .forbidden(action: "identity:\(action)")
        }
        if isDeletion { try refuseDelegated(caller, action) } else { try identity.checkMayDelegate(caller, action) }
        let credential: Credential
        do throws(IdentityError) {
            credential = try identity.credential(access: access)
        } catch .notFound {
            throw .notFound(kind: "credential", id: access)
        }
        guard credential.userID == userID else { throw .notFound(kind: "credential", id: access) }
        guard isDeletion else { return Reply(.ok, .of(["credential": try view(credential, call)])) }
        try identity.deleteCredential(id: credential.id)
        return .noContent
    }

    private func view(_ credential: Credential, _ call: Call) throws(IdentityError) -> JSON {
        let pair = try keyPair(credential)
        let path = "users/\(credential.userID)/credentials/OS-EC2/\(pair.access)"
        return .of([
            "access": .string(pair.access), "secret": .string(String(decoding: pair.secret.bytes, as: UTF8.self)),
            "user_id": .string(credential.userID), "tenant_id": .text(credential.projectID), "trust_id": .null,
            "links": .of(["self": .string("\(call.base)/v3/\(path)")]),
        ])
    }

    // MARK: Signed requests, which services pass on to have them checked.

    func exchangeRequest(_ call: Call) throws(IdentityError) -> Reply {
        let fields = try signedFields(call, "ec2tokens_validate")
        let credential = try identity.credential(access: try fields.string("access"))
        let request = SignedRequest(
            signature: try fields.string("signature"), verb: try fields.optionalString("verb") ?? "",
            host: try fields.optionalString("host") ?? "", path: try fields.optionalString("path") ?? "",
            parameters: try texts(fields, "params"), headers: try texts(fields, "headers"),
            bodyHash: try fields.optionalString("body_hash") ?? "")
        let issued = try identity.issue(
            for: request, credential, secret: try keyPair(credential).secret, seconds: Self.seconds)
        return try tokenReply(.ok, issued.token, issued.info, call)
    }

    func exchangeStringToSign(_ call: Call) throws(IdentityError) -> Reply {
        let fields = try signedFields(call, "s3tokens_validate")
        let credential = try identity.credential(access: try fields.string("access"))
        let encoded = try fields.string("token")
        guard let bytes = identity.decodedBase64(encoded), let text = String(validating: bytes, as: UTF8.self) else {
            throw .invalid("Invalid input for field 'token': it must be base64.")
        }
        let issued = try identity.issue(
            forStringToSign: text, signature: try fields.string("signature"), services: ["s3", "iam", "sts"],
            credential, secret: try keyPair(credential).secret, seconds: Self.seconds)
        return try tokenReply(.ok, issued.token, issued.info, call)
    }

    /// Only services may ask: whoever saw a signed address could else make a token of it.
    private func signedFields(_ call: Call, _ action: String) throws(IdentityError) -> Fields {
        let caller = try authenticated(call)
        guard caller.hasRole("service") || caller.hasRole("admin") else {
            throw .forbidden(action: "identity:\(action)")
        }
        for name in ["credentials", "credential", "ec2Credentials"] where call.body?[name] != nil {
            return try call.fields(name)
        }
        throw .invalid("'credentials' is a required property")
    }

    private func texts(_ fields: Fields, _ name: String) throws(IdentityError) -> [String: String] {
        guard let value = fields.value[name], value != .null else { return [:] }
        guard let members = value.members else {
            throw .invalid("Invalid input for field '\(name)': it must be an object.")
        }
        var texts: [String: String] = [:]
        for member in members {
            switch member.value {
            case .string(let text), .number(let text): texts[member.key] = text
            default: throw .invalid("Invalid input for field '\(name)': \(member.key) must be a string.")
            }
        }
        return texts
    }

    /// `20260801T100000Z`, or the same with dashes and colons.
    private static func seconds(_ text: String) -> Int64? {
        var digits = text
        if !text.contains("-"), text.utf8.count == 16 {
            let bytes = Array(text.utf8)
            func part(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
            digits = "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z"
        }
        return ISOTime.microseconds(digits).map { $0 / 1_000_000 }
    }
}
