import Foundation
import Testing

@testable import Daemon

@Suite(
    "The daemon with an outside Identity service", .timeLimit(.minutes(2)),
    .enabled(if: !Program.folder.isEmpty, "apusd was not built beside the tests"))
struct OutsideProcessTests {
    /// Asks each of them with the token; a line of status and `Retry-After` each.
    private static let asking =
        "import sys, urllib.request, urllib.error\n" + """
            for url in sys.argv[2:]:
                try:
                    answer = urllib.request.urlopen(urllib.request.Request(url, headers={"X-Auth-Token": sys.argv[1]}), timeout=60)
                    print(answer.status, answer.headers.get("Retry-After"))
                except urllib.error.HTTPError as error:
                    print(error.code, error.headers.get("Retry-After"))
            """

    @Test func itsTokensAreGoodForObjectsImagesAndVolumes() async throws {
        let fake = try await FakeAuthority(FakeAuthority.kind)
        let scratch = try ScratchFolder()
        let password = try scratch.write("password", "open sesame\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: password)
        let daemon = try RunningProcess(
            scratch.path + "/data",
            arguments: [
                "metrics.enabled=false", "identity.authority=keystone", "identity.keystone_user=apus",
                "identity.keystone_url=http://127.0.0.1:\(fake.port)/v3", "identity.keystone_password_file=\(password)",
            ].flatMap { ["--set", $0] })
        let endpoints = try JSONDecoder().decode(
            ClientFiles.Endpoints.self, from: Data(try scratch.text("data/endpoints.json").utf8))
        func ask(_ token: String) throws -> [String] {
            let urls = [
                endpoints.object + "/v1/AUTH_p1", (endpoints.image ?? "") + "/v2/images",
                (endpoints.volume ?? "") + "/v3/p1/volumes",
            ]
            let outcome = try Program.run("/usr/bin/env", ["python3", "-c", Self.asking, token] + urls)
            try #require(outcome.code == 0, "\(outcome.errors)")
            return outcome.output.split(separator: "\n").map(String.init)
        }

        #expect(endpoints.identity == "http://127.0.0.1:\(fake.port)")
        #expect(try ask("good") == ["204 None", "200 None", "200 None"])
        #expect(try ask("bad") == ["401 None", "401 None", "401 None"])
        // One question for each token, however many services it is shown to.
        #expect(fake.described == 2 && fake.signIns == 1)
        try await fake.stop()
        #expect(try ask("good-too") == ["503 5", "503 5", "503 5"])
        #expect(try ask("good") == ["204 None", "200 None", "200 None"])

        let refused = try daemon.apus("user", "create", "ann")
        #expect(refused.code == 1 && refused.errors.contains(endpoints.identity))
        #expect(try daemon.apus("status").code == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/data")
        #expect(Set(names).isDisjoint(with: ["openrc", "openrc-v1", "clouds.yaml", "admin-password"]))
        #expect(daemon.stop() == 0)
    }

    @Test func aPasswordThatOthersMayReadKeepsItFromStarting() throws {
        let scratch = try ScratchFolder()
        let password = try scratch.write("password", "open sesame\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: password)
        let outcome = try Program.run(
            Program.folder + "/apusd",
            ["--data", scratch.path + "/data", "--any-port"]
                + [
                    "identity.authority=keystone", "identity.keystone_user=apus",
                    "identity.keystone_url=http://127.0.0.1:1/v3", "identity.keystone_password_file=\(password)",
                ].flatMap { ["--set", $0] })
        #expect(outcome.code == 1 && outcome.errors.contains("others may read"))
    }
}
