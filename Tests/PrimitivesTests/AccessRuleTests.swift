import Primitives
import Testing

@Suite("Access rules") struct AccessRuleTests {
    @Test(
        "a rule's path permits what its pieces say and nothing more",
        arguments: [
            ("/v1/a", "/v1/a", true), ("/v1/a", "/v1/a/", false), ("/v1/a", "/v1/ab", false), ("/v1/a", "/v1", false),
            ("/v1/*", "/v1/abc", true), ("/v1/*", "/v1/", false), ("/v1/*", "/v1/a/b", false),
            ("/v1/*/c", "/v1/a/c", true), ("/v1/*/c", "/v1/a/b/c", false), ("/v1/{id}/c", "/v1/xyz/c", true),
            ("/v1/{id}", "/v1/x/y", false), ("/v1/**", "/v1/", true), ("/v1/**", "/v1/a/b/c", true),
            ("/v1/**/z", "/v1/a/b/z", true), ("/v1/**/z", "/v1/a/b/y", false), ("/v1/**", "/v1", false),
            ("/v1/x*", "/v1/xy", true), ("/v1/x*", "/v1/x", false), ("/v1/{id", "/v1/{id", true),
            ("/v1/a*b*c", "/v1/axxbyyc", true), ("/v1/a*b*c", "/v1/axx/byyc", false), ("**", "", true),
        ])
    func paths(_ pattern: String, _ path: String, _ isPermitted: Bool) {
        let rule = AccessRule(service: "s", method: "GET", path: pattern)
        #expect(rule.permits(services: ["s", "t"], method: "GET", path: path) == isPermitted)
        #expect(!rule.permits(services: ["t"], method: "GET", path: path))
        #expect(!rule.permits(services: ["s"], method: "HEAD", path: path))
    }

    @Test("a hostile pattern is matched in the product of the lengths")
    func bounded() {
        let rule = AccessRule(service: "s", method: "GET", path: "/" + String(repeating: "**a", count: 40))
        let path = "/" + String(repeating: "a", count: 4_000) + "b"
        #expect(!rule.permits(services: ["s"], method: "GET", path: path))
    }
}
