private import Codecs
private import Crypto
import GRDB
package import Primitives

/// Something secret that a user keeps with Identity: keys for EC2 and S3, seeds, certificates.
package struct Credential: Sendable {
    package var id: String
    package var type: String
    package var userID: String
    package var projectID: String?
    /// What its type says; never in a log, sealed in the tables.
    package var blob: Secret
    package var extra: String
}

extension IdentityService {
    /// - Parameter userID: nil for everybody's; so with `type`.
    package func credentials(ofUser userID: String?, type: String?) throws(IdentityError) -> Listing<Credential> {
        let rows = try read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM credentials WHERE (? IS NULL OR user_id = ?) AND (? IS NULL OR type = ?)
                    ORDER BY id LIMIT \(Limits.listMax + 1)
                    """, arguments: [userID, userID, type, type])
        }
        var items: [Credential] = []
        for row in rows.prefix(Limits.listMax) { items.append(try open(row)) }
        return Listing(items: items, isTruncated: rows.count > Limits.listMax)
    }

    package func credential(id: String) throws(IdentityError) -> Credential {
        let row = try read { db in
            try Row.fetchOne(db.cachedStatement(sql: "SELECT * FROM credentials WHERE id = ?"), arguments: [id])
        }
        return try open(try found("credential", id, row))
    }

    /// The key pair of that name, whoever's it is; `.notFound` if there is none.
    package func credential(access: String) throws(IdentityError) -> Credential {
        let found = try credential(id: Self.id(ofAccess: access))
        guard found.type == "ec2" else { throw .notFound(kind: "credential", id: access) }
        return found
    }

    /// Where a key pair is kept: the SHA-256 of its access key.
    package static func id(ofAccess access: String) -> String {
        Hex.encode(Array(SHA256.hash(data: Array(access.utf8))))
    }

    /// - Parameters:
    ///   - access: of a key pair, which must be new; nil for anything else.
    ///   - projectID: must exist; `.notFound` if it doesn't, as for the user.
    package func createCredential(
        type: String, blob: Secret, access: String?, userID: String, projectID: String?, extra: String
    ) throws(IdentityError) -> Credential {
        try check(type: type, blob)
        try checkExtra(extra)
        let id = access.map(Self.id(ofAccess:)) ?? newID() + newID()
        let credential = Credential(
            id: id, type: type, userID: userID, projectID: projectID, blob: blob, extra: extra)
        let sealed = try seal(blob, id: id)
        return try naming("credential", id, domainID: nil) { () throws(IdentityError) in
            try write { db in
                guard try Lookups.user(db, .id(userID)) != nil else {
                    throw IdentityError.notFound(kind: "user", id: userID)
                }
                if let projectID, try Lookups.project(db, .id(projectID)) == nil {
                    throw IdentityError.notFound(kind: "project", id: projectID)
                }
                let owned =
                    try Int.fetchOne(
                        db, sql: "SELECT COUNT(*) FROM credentials WHERE user_id = ?", arguments: [userID]) ?? 0
                guard owned < Limits.delegationsMax else {
                    throw IdentityError.forbidden(action: "identity:create_credential")
                }
                try db.execute(
                    sql: """
                        INSERT INTO credentials (id, type, sealed, user_id, project_id, extra) VALUES (?, ?, ?, ?, ?, ?)
                        """, arguments: [id, type, sealed, userID, projectID, extra])
                return credential
            }
        }
    }

    /// Its owner, project and type stay what they were when it was made.
    package func updateCredential(id: String, blob: Secret?, extra: String) throws(IdentityError) -> Credential {
        let old = try credential(id: id)
        try checkExtra(extra)
        if let blob { try check(type: old.type, blob) }
        let sealed = try seal(blob ?? old.blob, id: id)
        try write { db in
            try db.execute(
                sql: "UPDATE credentials SET sealed = ?, extra = ? WHERE id = ?",
                arguments: [sealed, try self.merged(db, "credentials", id, extra), id])
        }
        return try credential(id: id)
    }

    package func deleteCredential(id: String) throws(IdentityError) {
        try deleteRow("credentials", kind: "credential", id: id)
    }

    private func check(type: String, _ blob: Secret) throws(IdentityError) {
        guard (1...Limits.userNameMax).contains(type.utf8.count) else {
            throw .invalid("Invalid input for field 'type': it must have 1 to \(Limits.userNameMax) bytes.")
        }
        guard blob.bytes.count <= Limits.blobMax else {
            throw .invalid("Invalid input for field 'blob': it is too long.")
        }
    }

    // MARK: Signed requests.

    /// A token for a request that its sender signed; `.unauthorized` unless the signature is right, was made within
    /// `Limits.signatureWindowSeconds` of now, and is used for the first time.
    ///
    /// - Parameters:
    ///   - secret: of the key pair `credential`, as its blob has it.
    ///   - seconds: Unix seconds of a moment as signed requests write it; nil for what is none.
    package func issue(
        for request: SignedRequest, _ credential: Credential, secret: Secret, seconds: (String) -> Int64?
    ) throws(IdentityError) -> IssuedToken {
        var candidates = [request]
        if let colon = request.host.firstIndex(of: ":") {
            // Some clients sign the host without its port.
            var bare = request
            bare.host = String(request.host[..<colon])
            for (name, value) in request.headers where name.lowercased() == "host" {
                bare.headers[name] = String(value.prefix { $0 != ":" })
            }
            candidates.append(bare)
        }
        for candidate in candidates {
            guard let expected = EC2Signature.expected(candidate, secret: secret),
                constantTimeEquals(Array(expected.signature.utf8), Array(request.signature.utf8))
            else { continue }
            var latest = Int64.max
            if let moment = seconds(expected.signedAt), let life = request.parameters["X-Amz-Expires"] {
                latest = moment + min(Int64(life) ?? 0, Limits.signatureWindowSeconds)
            }
            return try issue(expected.signature, seconds(expected.signedAt), latest: latest, credential)
        }
        throw .unauthorized
    }

    /// The same for a string to be signed, of which only the hash is known here (version 4).
    package func issue(
        forStringToSign text: String, signature: String, services: Set<String>, _ credential: Credential,
        secret: Secret, seconds: (String) -> Int64?
    ) throws(IdentityError) -> IssuedToken {
        guard let expected = EC2Signature.expected(stringToSign: text, services: services, secret: secret),
            constantTimeEquals(Array(expected.signature.utf8), Array(signature.utf8))
        else { throw .unauthorized }
        return try issue(expected.signature, seconds(expected.signedAt), latest: .max, credential)
    }

    private func issue(
        _ signature: String, _ moment: Int64?, latest: Int64, _ credential: Credential
    ) throws(IdentityError) -> IssuedToken {
        let window = Limits.signatureWindowSeconds
        guard let moment, (now - window...now + window).contains(moment), now <= latest,
            let projectID = credential.projectID
        else { throw .unauthorized }
        // Whatever comes of it, it isn't looked at again.
        guard usedSignatures.use(signature, until: moment + window, now: now) else { throw .unauthorized }
        return try issue(signedBy: credential.userID, on: projectID)
    }

    // MARK: Sealing: AES-256-GCM, bound to the row.

    /// What is kept of a secret: nonce, ciphertext and tag as base64. `id` is authenticated with it.
    func seal(_ secret: Secret, id: String) throws(IdentityError) -> String {
        guard let key = credentialKeys.current.first else { throw .keyRepository("no key for credentials") }
        do {
            let box = try AES.GCM.seal(
                secret.bytes, using: SymmetricKey(data: key.signing + key.encryption),
                authenticating: Array(id.utf8))
            guard let bytes = box.combined else { throw IdentityError.cryptography("AES-GCM gave no nonce") }
            return Base64.encodePlain(Array(bytes), padded: false)
        } catch {
            throw .cryptography("AES-GCM refused to seal a credential")
        }
    }

    private func open(_ row: Row) throws(IdentityError) -> Credential {
        let (id, sealed): (String, String) = (row["id"], row["sealed"])
        for key in credentialKeys.current {
            do {
                let box = try AES.GCM.SealedBox(combined: Base64.decodePlain(sealed.utf8) ?? [])
                let bytes = try AES.GCM.open(
                    box, using: SymmetricKey(data: key.signing + key.encryption), authenticating: Array(id.utf8))
                return Credential(
                    id: id, type: row["type"], userID: row["user_id"], projectID: row["project_id"],
                    blob: Secret(Array(bytes)), extra: row["extra"])
            } catch {
                continue
            }
        }
        throw .cryptography("no key opens credential \(id)")
    }
}
