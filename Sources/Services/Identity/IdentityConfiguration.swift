import Primitives

/// What Identity is started with.
package struct IdentityConfiguration: Sendable {
    /// How long a token lives, in seconds.
    package var tokenSeconds: Int64
    /// The folder of the token keys (0700).
    package var keyFolder: String
    /// How often the keys are rotated, in seconds; not more often than a token lives, or tokens would die early.
    package var keyRotationSeconds: Int64
    package var passwordCost: PasswordCost
    /// The region that the catalog's built-in part is published in.
    package var region = IdentityService.regionName
    package var passwordRules = PasswordRules()
    /// The folder of the keys that credentials are sealed with (0700), beside the token keys.
    package var credentialKeyFolder: String { keyFolder + "-credentials" }
    /// Unix seconds.
    package var now: @Sendable () -> Int64
    /// That many bytes from the system's CSPRNG.
    package var randomBytes: @Sendable (Int) -> [UInt8]

    /// - Parameter keyRotationSeconds: raised to `tokenSeconds` if it is less.
    package init(
        tokenSeconds: Int64, keyFolder: String, keyRotationSeconds: Int64, passwordCost: PasswordCost,
        now: @escaping @Sendable () -> Int64, randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) {
        self.tokenSeconds = tokenSeconds
        self.keyFolder = keyFolder
        self.keyRotationSeconds = max(keyRotationSeconds, tokenSeconds)
        self.passwordCost = passwordCost
        self.now = now
        self.randomBytes = randomBytes
    }

    /// One-hour tokens, daily keys, the system's clock and randomness.
    package static func standard(keyFolder: String) -> IdentityConfiguration {
        IdentityConfiguration(
            tokenSeconds: 3_600, keyFolder: keyFolder, keyRotationSeconds: 86_400, passwordCost: .standard,
            now: { TimestampClock.systemTicks() / Timestamp.ticksPerSecond }, randomBytes: systemRandomBytes)
    }

    /// From getrandom(2).
    package static func systemRandomBytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}
