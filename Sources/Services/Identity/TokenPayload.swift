private import Codecs

/// What a token says, before the tables are asked whether it still holds.
struct TokenPayload: Equatable {
    enum Scope: Equatable {
        case unscoped
        case domain(String)
        case project(String)
        case system
        /// By a trust, on its project.
        case trust(project: String, trust: String)
        /// By an application credential, on its project.
        case application(project: String, credential: String)

        /// Where the roles are held; nil for an unscoped token.
        var target: AssignmentTarget? {
            switch self {
            case .unscoped: nil
            case .domain(let id): .domain(id)
            case .project(let id), .trust(let id, _), .application(let id, _): .project(id)
            case .system: .system
            }
        }
    }

    var userID: String
    /// A bit each, see `Method`.
    var methods: Int64
    var scope: Scope
    /// Unix seconds.
    var expiresAt: Int64
    /// The token's own id (16 bytes); then, after a rescope, that of the first token of its chain.
    var auditIDs: [[UInt8]]

    /// The ways to prove who one is, in the order of the mask's bits.
    enum Method: String, CaseIterable {
        case external, password, token, oauth1, mapped, application_credential
        /// A request's signature; of our own making, behind those that other identity services know.
        case ec2credential
        var bit: Int64 { 1 << Int64(Self.allCases.firstIndex(of: self) ?? 0) }
    }

    static func mask(_ methods: some Sequence<Method>) -> Int64 { methods.reduce(0) { $0 | $1.bit } }

    var methodNames: [String] { Method.allCases.filter { methods & $0.bit != 0 }.map(\.rawValue) }

    /// MessagePack, by version: 0 unscoped, 1 domain, 2 project, 3 trust, 8 system, 9 application credential.
    func encoded() -> [UInt8] {
        let user = Self.idField(userID)
        let methods = MessagePack.int(methods)
        let expires = MessagePack.double(Double(expiresAt))
        let audit = MessagePack.array(auditIDs.map { .bytes($0) })
        let fields: [MessagePack] =
            switch scope {
            case .unscoped: [.int(0), user, methods, expires, audit]
            // Alone among the ids, a domain's has no flag before it.
            case .domain(let id): [.int(1), user, methods, Self.rawIDField(id), expires, audit]
            case .project(let id): [.int(2), user, methods, Self.idField(id), expires, audit]
            case .system: [.int(8), user, methods, .text("all"), expires, audit]
            case .trust(let project, let trust):
                [.int(3), user, methods, Self.idField(project), expires, audit, Self.rawIDField(trust)]
            case .application(let project, let credential):
                [.int(9), user, methods, Self.idField(project), expires, audit, Self.idField(credential)]
            }
        var out: [UInt8] = []
        MessagePack.array(fields).encode(into: &out)
        return out
    }

    init(userID: String, methods: Int64, scope: Scope, expiresAt: Int64, auditIDs: [[UInt8]]) {
        self.userID = userID
        self.methods = methods
        self.scope = scope
        self.expiresAt = expiresAt
        self.auditIDs = auditIDs
    }

    /// nil for versions that are not issued here, and for anything malformed.
    init?(_ bytes: [UInt8]) {
        guard case .array(let fields)? = MessagePack.decode(bytes), case .int(let version)? = fields.first,
            let audit = Self.auditIndex(version), fields.count == audit + (version == 3 || version == 9 ? 2 : 1),
            let user = Self.id(fields[1]), case .int(let methods) = fields[2], (0..<128).contains(methods),
            let expires = Self.seconds(fields[audit - 1]),
            case .array(let audit) = fields[audit], (1...2).contains(audit.count)
        else { return nil }
        switch version {
        case 0: scope = .unscoped
        case 1:
            guard let id = Self.id(fields[3]) else { return nil }
            scope = .domain(id)
        case 2:
            guard let id = Self.id(fields[3]) else { return nil }
            scope = .project(id)
        case 8: scope = .system
        case 3, 9:
            guard let id = Self.id(fields[3]), let means = Self.id(fields[6]) else { return nil }
            scope = version == 3 ? .trust(project: id, trust: means) : .application(project: id, credential: means)
        default: return nil
        }
        userID = user
        self.methods = methods
        expiresAt = expires
        auditIDs = []
        for item in audit {
            guard case .bytes(let id) = item, id.count == 16 else { return nil }
            auditIDs.append(id)
        }
    }

    /// Where the audit ids are; nil for versions that are not issued here.
    private static func auditIndex(_ version: Int64) -> Int? {
        switch version {
        case 0: 4
        case 1, 2, 3, 8, 9: 5
        default: nil
        }
    }

    private static func idField(_ id: String) -> MessagePack {
        guard let bytes = hexID(id) else { return .array([.bool(false), .text(id)]) }
        return .array([.bool(true), .bytes(bytes)])
    }

    private static func rawIDField(_ id: String) -> MessagePack {
        hexID(id).map { .bytes($0) } ?? .text(id)
    }

    /// The 16 bytes of an id that is 32 lower-case digits, so that the way back is exact.
    private static func hexID(_ id: String) -> [UInt8]? {
        guard id.utf8.count == 32, let bytes = Hex.decode(id), Hex.encode(bytes) == id else { return nil }
        return bytes
    }

    private static func id(_ field: MessagePack) -> String? {
        switch field {
        case .bytes(let bytes): return bytes.count == 16 ? Hex.encode(bytes) : nil
        case .text(let text): return text.isEmpty ? nil : text
        case .array(let pair):
            guard pair.count == 2, case .bool(let isHex) = pair[0] else { return nil }
            switch pair[1] {
            case .bytes(let bytes) where isHex && bytes.count == 16: return Hex.encode(bytes)
            case .text(let text) where !isHex && !text.isEmpty: return text
            case .text(let text) where isHex && text.utf8.count == 16: return Hex.encode(Array(text.utf8))
            default: return nil
            }
        default: return nil
        }
    }

    private static func seconds(_ field: MessagePack) -> Int64? {
        switch field {
        case .int(let value): return value > 0 ? value : nil
        case .double(let value):
            guard value > 0, value < 1e11 else { return nil }
            return Int64(value)
        default: return nil
        }
    }
}
