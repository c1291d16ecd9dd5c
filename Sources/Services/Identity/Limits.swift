/// Every bound of Identity, in one place.
package enum Limits {
    /// A token that is longer was not made here.
    package static let tokenBytesMax = 255
    /// The longest life that a token can be configured to have.
    package static let tokenSecondsMax: Int64 = 604_800
    package static let passwordBytesMax = 1024
    package static let userNameMax = 255
    package static let projectNameMax = 64
    package static let domainNameMax = 64
    package static let roleNameMax = 255
    package static let descriptionMax = 4096
    /// Rows in one list answer; more are cut and `truncated` is set.
    package static let listMax = 2_000
    /// Sign-ins that may wait for a password thread.
    package static let passwordQueueMax = 64
    package static let passwordThreads = 2
    /// Wrong passwords that one address may present at once, and the seconds after which one is forgotten.
    package static let failureBurst: Int64 = 20
    package static let failureSeconds: Int64 = 2
    /// The longest that an address is made to wait, in seconds.
    package static let failureWaitMax: Int64 = 60
    /// Addresses whose failures are remembered.
    package static let failureAddressesMax = 16_384
    /// Requests that may wait for a database thread.
    package static let workQueueMax = 512
    package static let workThreads = 2
    /// Tokens remembered after validation.
    package static let cachedTokensMax = 8_192
    /// How long a validated token may be trusted without a look at the tables, in seconds.
    package static let cacheSecondsMax: Int64 = 5
    /// How far a validation with `allow_expired` looks back, in seconds.
    package static let expiredWindowSeconds: Int64 = 172_800
    /// Keys of the token repository: staged, primary, secondary.
    package static let activeKeysMax = 3
    /// Files that a key repository may hold before it is refused as none.
    package static let keyFilesMax = 64
    /// Levels of parents or of implied roles that are followed.
    package static let depthMax = 16
    /// Tags of one project or domain, and the characters of each.
    package static let tagsMax = 80
    package static let tagMax = 255
    /// Bytes of the attributes that clients store beside ours, as JSON.
    package static let extraMax = 65_536
    /// Bytes of a credential's or a policy's blob.
    package static let blobMax = 65_536
    /// Roles and access rules that one application credential or trust may name.
    package static let delegatedRolesMax = 64
    package static let accessRulesMax = 64
    /// Application credentials, trusts or EC2 credentials that one user may own.
    package static let delegationsMax = 1_000
    /// Signatures that are remembered as used, and how far a signed request's clock may be off, in seconds.
    package static let usedSignaturesMax = 65_536
    package static let signatureWindowSeconds: Int64 = 900
    /// Policies, consumers or endpoint groups.
    package static let documentsMax = 2_000
    /// How often a trust may be passed on.
    package static let redelegationsMax = 3
}
