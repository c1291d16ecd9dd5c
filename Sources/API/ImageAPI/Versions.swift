import ControlFace
import HTTPTypes

/// The versions that clients choose from: one API, whose number tells what it can.
enum Versions {
    private static let supported = ["2.17", "2.15", "2.9", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0"]
    /// Only where there are several stores to choose from.
    private static let withStores = ["2.13", "2.12", "2.11", "2.10", "2.8"]

    static func reply(base: String, isRoot: Bool, hasSeveralStores: Bool) -> Reply {
        let numbers = (supported + (hasSeveralStores ? withStores : [])).sorted { minor($0) > minor($1) }
        let versions = numbers.enumerated().map { index, number in
            JSON.of([
                "id": .string("v\(number)"), "status": .string(index == 0 ? "CURRENT" : "SUPPORTED"),
                "links": .array([.of(["rel": .string("self"), "href": .string("\(base)/v2/")])]),
            ])
        }
        return Reply(isRoot ? .multipleChoices : .ok, .json(.of(["versions": .array(versions)])))
    }

    private static func minor(_ number: String) -> Int { Int(number.dropFirst(2)) ?? 0 }
}
