import Foundation
import Testing
import Volumes

@testable import Daemon

@Suite("Configuration")
struct ConfigurationTests {
    private func load(
        _ overrides: [(key: String, value: String)] = [], environment: [String: String] = [:], file: String? = nil
    ) throws -> DaemonConfiguration {
        try ConfigurationSources.load(overrides: overrides, environment: environment, file: file)
    }

    @Test func defaultsAreOpenStacksPortsOnLoopback() throws {
        let configuration = try load()
        #expect(configuration.identity.port == 5000)
        #expect(configuration.object.port == 8080)
        #expect(configuration.listeners.allSatisfy { $0.host == "127.0.0.1" && $0.tls == nil && !$0.allowsPlaintext })
        #expect(configuration.capacityBytes == nil)
        #expect(configuration.indexCopies == 2)
        try configuration.checkListeners()
    }

    @Test func theCommandLineWinsOverTheEnvironmentOverTheFileOverDefaults() throws {
        let folder = try ScratchFolder()
        let file = try folder.write(
            "c.json",
            #"{"object": {"port": 1001}, "identity": {"port": 1002}, "region": "North", "storage": {"index_copies": 1}}"#
        )
        let environment = ["APUS_OBJECT_PORT": "2001", "APUS_IDENTITY_PORT": "2002", "HOME": "/root"]
        let configuration = try load([(key: "object.port", value: "3001")], environment: environment, file: file)
        #expect(configuration.object.port == 3001)
        #expect(configuration.identity.port == 2002)
        #expect(configuration.region == "North")
        #expect(configuration.indexCopies == 1)
        #expect(configuration.metrics?.port == 9109)
    }

    @Test(arguments: [
        #"{"objekt": {"port": 1}}"#, #"{"object": {"prot": 1}}"#, #"{"object": 5}"#, #"{"region": {"x": 1}}"#,
        #"{"object": {"port": "8080"}}"#, #"{"object": {"port": 80.5}}"#, #"{"object": {"port": true}}"#,
        #"{"object": {"port": 65536}}"#, #"{"object": {"port": -1}}"#, #"{"metrics": {"enabled": 1}}"#,
        #"{"metrics": {"enabled": "yes"}}"#, #"{"region": 5}"#, #"{"region": ""}"#, #"{"region": null}"#, "[]", "", "{",
        #"{"log": {"level": "loud"}}"#,
        #"{"public_host": "http://x"}"#, #"{"public_host": "a b"}"#, #"{"storage": {"index_copies": 3}}"#,
        #"{"tls": {"certificate": "/x.pem"}}"#, #"{"identity": {"tls_key": "/x.pem"}}"#,
    ])
    func aFileThatIsWrongIsRefused(text: String) throws {
        let folder = try ScratchFolder()
        let file = try folder.write("c.json", text)
        #expect(throws: DaemonError.self) { try load(file: file) }
    }

    @Test(arguments: [["APUS_OBJCT_PORT": "1"], ["APUS_OBJECT_PORT": "x"], ["APUS_METRICS_ENABLED": "maybe"]])
    func anEnvironmentThatIsWrongIsRefused(environment: [String: String]) {
        #expect(throws: DaemonError.self) { try load(environment: environment) }
    }

    @Test(arguments: [("nope", "1"), ("object.port", "x"), ("object.port", "70000"), ("metrics.enabled", "1")])
    func anOverrideThatIsWrongIsRefused(pair: (String, String)) {
        #expect(throws: DaemonError.self) { try load([(key: pair.0, value: pair.1)]) }
    }

    @Test func anAbsentFileIsRefusedByName() {
        let error = #expect(throws: DaemonError.self) { try load(file: "/nowhere/at/all.json") }
        #expect(error?.problem.contains("/nowhere/at/all.json") == true)
    }

    @Test func volumesTakeTheirNamesAndLimits() throws {
        let volumes = try load([
            (key: "volume.host_name", value: "box"), (key: "volume.backend", value: "fast"),
            (key: "volume.availability_zone", value: "north"), (key: "volume.quota_volumes", value: "-1"),
            (key: "volume.quota_per_volume_gigabytes", value: "50"), (key: "volume.reserved_percent", value: "5"),
        ]).volumes.service(systemName: "other")
        #expect(volumes.place == "box@fast#chunks" && volumes.zone == "north" && volumes.reservedPercentage == 5)
        #expect(volumes.quotaDefaults[.volumes] == -1 && volumes.quotaDefaults[.perVolumeGigabytes] == 50)
        #expect(volumes.quotaDefaults[.gigabytes] == 1_000)
        #expect(try load().volumes.service(systemName: "other").place == "other@chunks#chunks")
    }

    @Test(arguments: [
        ("volume.host_name", "a@b"), ("volume.backend", ""), ("volume.backend", "a#b"), ("volume.pool", "x y"),
        ("volume.availability_zone", ""), ("volume.availability_zone", " x"), ("volume.default_type", ""),
        ("volume.quota_volumes", "-2"), ("volume.reserved_percent", "101"),
    ])
    func volumesRefuseNamesThatDontFit(pair: (String, String)) {
        #expect(throws: DaemonError.self) { try load([(key: pair.0, value: pair.1)]) }
    }

    @Test func theSampleNamesEveryKeyAtItsDefault() throws {
        let sample = try Repository.text("Config/apusd.sample.json")
        #expect(
            sample == ConfigurationManual.sample + "\n", "write it anew: apus config sample > Config/apusd.sample.json")
        let fromSample = try load(file: Repository.path("Config/apusd.sample.json"))
        #expect(fromSample == (try load()))
        let object = try JSONSerialization.jsonObject(with: Data(sample.utf8)) as? [String: Any] ?? [:]
        let names = object.flatMap { name, value in (value as? [String: Any])?.keys.map { "\(name).\($0)" } ?? [name] }
        #expect(Set(names) == Set(ConfigurationKey.all.map(\.name)))
    }

    @Test func theManualDocumentsEveryKeyAndNoOther() throws {
        let manual = try Repository.text("Config/README.md")
        #expect(
            manual.contains(ConfigurationManual.table), "paste what `apus config keys` prints into Config/README.md")
        let documented = manual.matches(of: /(?m)^\| `([a-z0-9_.]+)` \| `[^|]*` \| `APUS_/).map { String($0.output.1) }
        #expect(documented.sorted() == ConfigurationKey.all.map(\.name).sorted())
    }

    @Test func everyKeyIsReadByTheCode() throws {
        // Reading a key that the table lacks traps; a key of the table that is never read would be a lie.
        for key in ConfigurationKey.all {
            let other: String =
                switch key.defaultValue {
                case .flag(let flag): String(!flag)
                case .number(let number, let range): String(number == range.upperBound ? number - 1 : number + 1)
                case .text(let text):
                    ["log.level": "debug", "identity.authority": "keystone"][key.name] ?? text + "x"
                }
            var overrides = [(key: key.name, value: other)]
            // Two files belong together.
            if key.name == "tls.certificate" || key.name == "tls.key" {
                overrides = [(key: "tls.certificate", value: "c"), (key: "tls.key", value: "k")]
            } else if key.name.hasSuffix("tls_certificate") || key.name.hasSuffix("tls_key") {
                let name = key.name.split(separator: ".")[0]
                overrides = [(key: "\(name).tls_certificate", value: "c"), (key: "\(name).tls_key", value: "k")]
            }
            #expect(try load(overrides) != load(), "\(key.name) changes nothing")
        }
    }

    @Test func namesOfVariablesAreUnique() {
        #expect(Set(ConfigurationKey.all.map(\.environmentName)).count == ConfigurationKey.all.count)
    }
}

@Suite("Listeners")
struct ListenerSettingsTests {
    private func listener(_ host: String, tls: Bool = false, plain: Bool = false, name: String = "object")
        -> ListenerSettings
    {
        ListenerSettings(
            name: name, host: host, port: 1, tls: tls ? TLSFiles(certificate: "c", key: "k") : nil,
            allowsPlaintext: plain)
    }

    @Test(arguments: ["127.0.0.1", "127.1.2.3", "::1", "localhost", "::ffff:127.0.0.1"])
    func loopbackNeedsNoTLS(host: String) throws {
        #expect(listener(host).isLoopback)
        try listener(host).check(publicHost: "")
    }

    @Test(arguments: [
        "0.0.0.0", "::", "10.0.0.1", "192.0.2.7", "fe80::1", "example.org", "127.0.0.1.example.org",
        "localhost.example.org", "::ffff:10.0.0.1", "0177.0.0.1",
    ])
    func aRoutableAddressNeedsTLSOrAnExplicitYes(host: String) throws {
        let error = #expect(throws: DaemonError.self) { try listener(host).check(publicHost: "cloud.example.org") }
        #expect(error?.remedy?.contains("object.allow_plaintext") == true)
        try listener(host, tls: true).check(publicHost: "cloud.example.org")
        try listener(host, plain: true).check(publicHost: "cloud.example.org")
    }

    @Test func theYesOfOneListenerIsNotTheYesOfAnother() throws {
        let configuration = try ConfigurationSources.load(
            overrides: [
                (key: "object.host", value: "10.0.0.1"), (key: "object.allow_plaintext", value: "true"),
                (key: "identity.host", value: "10.0.0.1"),
            ], environment: [:], file: nil)
        let error = #expect(throws: DaemonError.self) { try configuration.checkListeners() }
        #expect(error?.problem.contains("identity") == true)
    }

    @Test func everyAddressNeedsAPublicName() throws {
        #expect(throws: DaemonError.self) { try listener("0.0.0.0", tls: true).check(publicHost: "") }
        #expect(throws: DaemonError.self) { try listener("::", tls: true).check(publicHost: "") }
        try listener("0.0.0.0", tls: true).check(publicHost: "cloud.example.org")
    }

    @Test func twoListenersOnOnePortAreRefused() throws {
        let configuration = try ConfigurationSources.load(
            overrides: [(key: "object.port", value: "5000")], environment: [:], file: nil)
        #expect(throws: DaemonError.self) { try configuration.checkListeners() }
    }

    @Test func theBaseURLNamesWhatClientsCanReach() {
        #expect(listener("127.0.0.1").baseURL(publicHost: "", port: 8080) == "http://127.0.0.1:8080")
        #expect(listener("::1").baseURL(publicHost: "", port: 8080) == "http://[::1]:8080")
        #expect(listener("0.0.0.0", tls: true).baseURL(publicHost: "a.example", port: 443) == "https://a.example:443")
    }
}
