package import HTTPFace
import HTTPTypes
package import Hummingbird
package import Primitives

/// Who sends a request to a control plane: the caller of its token, and whether a service vouches for it.
package struct TokenCheck: Sendable {
    package enum Outcome: Sendable {
        /// - isService: the caller, or the bearer of `X-Service-Token`, has the role `service`.
        case caller(Caller, isService: Bool)
        /// No token, or none that is good.
        case unknown
        /// Nobody can say at the moment: too many tokens wait to be verified, the tables can't be read, or an outside
        /// Identity service doesn't answer.
        case busy(retryAfterSeconds: Int64)
    }

    private let authenticator: any Authenticator
    private let threads: WorkThreads
    private let services: Set<String>

    /// - Parameters:
    ///   - threads: for tokens that aren't in memory: verifying one reads tables.
    ///   - services: the service types that access rules of application credentials may call this service by.
    package init(authenticator: any Authenticator, threads: WorkThreads, services: Set<String>) {
        self.services = services
        self.authenticator = authenticator
        self.threads = threads
    }

    package func check(_ request: Request) async -> Outcome {
        guard let token = Self.single(request, .controlToken) else { return .unknown }
        do throws(TokensUnverifiable) {
            guard let caller = try await verify(token) else { return .unknown }
            var isService = caller.roles.contains("service")
            if let token = Self.single(request, .controlServiceToken), let found = try await verify(token) {
                isService = isService || found.roles.contains("service")
                // A service acts for the caller by requests of its own making: the rules are about the caller's.
                if found.roles.contains("service") { return .caller(caller, isService: true) }
            }
            guard permits(caller, request) else { return .unknown }
            return .caller(caller, isService: isService)
        } catch {
            return .busy(retryAfterSeconds: error.retryAfterSeconds)
        }
    }

    /// Whether the caller's token is good for this request: the rules of an application credential say so.
    private func permits(_ caller: Caller, _ request: Request) -> Bool {
        guard caller.accessRules != nil else { return true }
        guard let path = QueryText.percentDecoded((request.head.path ?? "/").prefix { $0 != "?" }) else { return false }
        return caller.permits(services: services, method: request.method.rawValue, path: path)
    }

    private func verify(_ token: String) async throws(TokensUnverifiable) -> Caller? {
        if let caller = authenticator.cachedCaller(token: token) { return caller }
        let result = await withCheckedContinuation { continuation in
            authenticator.verify(token: token, on: threads) { result in
                continuation.resume(
                    returning: result.mapError { $0 as? TokensUnverifiable ?? TokensUnverifiable(retryAfterSeconds: 1) }
                )
            }
        }
        return try result.get()
    }

    /// A header's value if it is there, not empty, and given once.
    private static func single(_ request: Request, _ name: HTTPField.Name) -> String? {
        let values = request.headers[values: name]
        guard values.count == 1, let value = values.first, !value.isEmpty else { return nil }
        return value
    }
}

extension HTTPField.Name {
    fileprivate static var controlToken: Self { Self("X-Auth-Token") ?? .authorization }
    fileprivate static var controlServiceToken: Self { Self("X-Service-Token") ?? .authorization }
}
