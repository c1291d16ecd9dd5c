import Primitives

extension ObjectPath {
    /// What is wrong with a path of which one name is longer than any that there can be; nil for all others.
    package var lengthRefusal: String? {
        Self.refusal("Account", account.count, ObjectLimits.accountNameBytesMax)
            ?? container.flatMap { Self.refusal("Container", $0.count, ObjectLimits.containerNameBytesMax) }
            ?? object.flatMap { Self.refusal("Object", $0.count, ObjectLimits.objectNameBytesMax) }
    }

    private static func refusal(_ kind: String, _ count: Int, _ max: Int) -> String? {
        count <= max ? nil : "\(kind) name length of \(count) longer than \(max)"
    }
}
