import Configuration
private import Foundation

/// Where configuration comes from: command line > environment > JSON file > defaults, and no key that nobody knows.
package enum ConfigurationSources {
    /// The largest configuration file that is read.
    package static let fileBytesMax = 1 << 20

    /// - Parameters:
    ///   - overrides: `key=value` pairs of the command line, the later one wins.
    ///   - environment: the process's; variables that begin with `APUS_` are read.
    ///   - file: the JSON file, if one is named.
    package static func load(
        overrides: [(key: String, value: String)], environment: [String: String], file: String?
    ) throws(DaemonError) -> DaemonConfiguration {
        var providers: [any ConfigProvider] = [
            InMemoryProvider(name: "command line", values: try commandLine(overrides))
        ]
        providers.append(
            EnvironmentVariablesProvider(environmentVariables: try known(environment)).prefixKeys(with: "apus"))
        if let file {
            providers.append(InMemoryProvider(name: file, values: try values(inFile: file)))
        }
        providers.append(InMemoryProvider(name: "defaults", values: defaults))
        return try DaemonConfiguration(reader: ConfigReader(providers: providers))
    }

    private static var defaults: [AbsoluteConfigKey: ConfigValue] {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for key in ConfigurationKey.all {
            values[absolute(key.name)] = ConfigValue(key.defaultContent, isSecret: false)
        }
        return values
    }

    private static func commandLine(
        _ overrides: [(key: String, value: String)]
    ) throws(DaemonError) -> [AbsoluteConfigKey: ConfigValue] {
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (name, text) in overrides {
            let key = try find(name, in: "the command line")
            guard let content = key.content(ofText: text) else {
                throw DaemonError("\(name)=\(text): \(name) has a value of the wrong type.", remedy: key.summary)
            }
            values[absolute(name)] = ConfigValue(content, isSecret: false)
        }
        return values
    }

    /// `APUS_` variables that name no key are refused as misspelt ones in a file are; a few are other tools'.
    private static func known(_ environment: [String: String]) throws(DaemonError) -> [String: String] {
        let names = Set(ConfigurationKey.all.map(\.environmentName))
        let others: Set<String> = ["APUS_CONFIG", "APUS_DATA_FOLDER", "APUS_WITHOUT_FACES"]
        var kept: [String: String] = [:]
        for (name, value) in environment
        where name.hasPrefix("APUS_") && !others.contains(name) && !name.hasPrefix("APUS_TEST_") {
            guard names.contains(name) else {
                throw DaemonError(
                    "The environment has \(name), which names no key.",
                    remedy: "`apus config keys` lists every key and its variable.")
            }
            kept[name] = value
        }
        return kept
    }

    private static func values(inFile file: String) throws(DaemonError) -> [AbsoluteConfigKey: ConfigValue] {
        let parsed: Any
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: file))
            guard data.count <= fileBytesMax else { throw CocoaError(.fileReadTooLarge) }
            parsed = try JSONSerialization.jsonObject(with: data)
        } catch let error as CocoaError where error.code == .propertyListReadCorrupt {
            throw DaemonError("\(file) is not JSON.", remedy: "Compare it with Config/apusd.sample.json.")
        } catch {
            throw DaemonError(
                "\(file) can't be read: \((error as NSError).localizedDescription)",
                remedy: "Give --config the path of a JSON file.")
        }
        guard let object = parsed as? [String: Any] else {
            throw DaemonError("\(file) holds no JSON object.", remedy: "Compare it with Config/apusd.sample.json.")
        }
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        try flatten(object, prefix: "", file: file, into: &values)
        return values
    }

    private static func flatten(
        _ object: [String: Any], prefix: String, file: String, into values: inout [AbsoluteConfigKey: ConfigValue]
    ) throws(DaemonError) {
        for (name, value) in object {
            let path = prefix.isEmpty ? name : prefix + "." + name
            if let inner = value as? [String: Any] {
                try flatten(inner, prefix: path, file: file, into: &values)
                continue
            }
            let key = try find(path, in: file)
            guard let content = key.content(ofJSON: value) else {
                throw DaemonError("\(file): \(path) has a value of the wrong type.", remedy: key.summary)
            }
            values[absolute(path)] = ConfigValue(content, isSecret: false)
        }
    }

    private static func find(_ name: String, in place: String) throws(DaemonError) -> ConfigurationKey {
        guard let key = ConfigurationKey.all.first(where: { $0.name == name }) else {
            throw DaemonError(
                "\(place) sets \"\(name)\", which is no key.", remedy: "`apus config keys` lists them all.")
        }
        return key
    }

    private static func absolute(_ name: String) -> AbsoluteConfigKey { AbsoluteConfigKey(ConfigKey(name)) }
}

extension ConfigurationKey {
    fileprivate var defaultContent: ConfigContent {
        switch defaultValue {
        case .text(let text): .string(text)
        case .number(let number, _): .int(number)
        case .flag(let flag): .bool(flag)
        }
    }

    /// nil: the text does not fit the key's type.
    fileprivate func content(ofText text: String) -> ConfigContent? {
        switch defaultValue {
        case .text: .string(text)
        case .number: Int(text).map { .int($0) }
        case .flag: Bool(text).map { .bool($0) }
        }
    }

    /// nil: the JSON value does not fit the key's type. A flag is only true or false, and those are no numbers.
    fileprivate func content(ofJSON value: Any) -> ConfigContent? {
        switch defaultValue {
        case .text: return (value as? String).map { .string($0) }
        case .number:
            guard let number = value as? NSNumber, !Self.isBoolean(number) else { return nil }
            guard number.doubleValue.rounded() == number.doubleValue, number.doubleValue.magnitude < 0x1p62 else {
                return nil
            }
            return .int(number.intValue)
        case .flag:
            guard let number = value as? NSNumber, Self.isBoolean(number) else { return nil }
            return .bool(number.boolValue)
        }
    }

    private static func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }
}
