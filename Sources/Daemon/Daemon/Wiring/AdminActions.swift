private import Chunks
import HTTPFace
import Identity
import Logging
private import NIOPosix
import Primitives
import ServiceLifecycle

/// What each operator's request does. Runs on Identity's threads, which are counted and may block.
struct AdminActions: Sendable {
    let stores: Stores
    let control: ControlPlane
    let volumes: VolumeActions
    let files: ClientFiles
    let endpoints: ClientFiles.Endpoints
    /// False: an outside Identity service has them.
    let hasUsers: Bool
    let metrics: MetricsRegistry
    let began: ContinuousClock.Instant
    let logger: Logger

    func listen(path: String) async throws -> Part {
        let identity = control.identity
        let server = try await AdminServer.start(
            path: path, group: MultiThreadedEventLoopGroup.singleton,
            // A password's hash takes a tenth of a second; the operator's requests take their turn with sign-ins.
            threads: { work in identity.run(.password, work) },
            answer: { request in perform(request) })
        return Part("operator's socket") { await server.stop() }
    }

    func perform(_ request: AdminRequest) -> AdminReply {
        do throws(IdentityError) {
            return try act(on: request)
        } catch {
            return .refused("\(error).")
        }
    }

    private func act(on request: AdminRequest) throws(IdentityError) -> AdminReply {
        let identity = control.identity
        guard hasUsers || !request.isAboutUsers else {
            return .refused("Users, projects, roles and tokens are those of \(endpoints.identity): change them there.")
        }
        switch request {
        case .status:
            return StatusReport.reply(
                stores.store.status(), endpoints: endpoints, folder: stores.folder.path, began: began)
        case .metrics: return AdminReply(succeeded: true, text: metrics.render())
        case .createProject(let name, let description):
            let project = try identity.createProject(named: name, description: description)
            logger.notice("project created by the operator", metadata: ["project_id": "\(project.id)"])
            return AdminReply(
                succeeded: true,
                text: "Project \(name) is there. Its id: \(project.id); its account: AUTH_\(project.id)",
                fields: ["id": project.id, "account": "AUTH_\(project.id)"])
        case .createUser(let name, let password, let project, let role):
            let made = try identity.createUser(
                named: name, password: password.map { Secret($0) }, project: project, role: role ?? "member")
            logger.notice("user created by the operator", metadata: ["user_id": "\(made.user.id)"])
            let place = project.map { " with the role \(role ?? "member") on \($0)" } ?? ""
            return reply(
                "User \(name) is there\(place). Their id: \(made.user.id)", password == nil ? made.password : nil,
                ["id": made.user.id])
        case .addRole(let role, let user, let project):
            try identity.grant(role: role, user: user, project: project)
            logger.notice(
                "role given by the operator", metadata: ["role": "\(role)", "user": "\(user)", "project": "\(project)"])
            return AdminReply(succeeded: true, text: "\(user) has the role \(role) on \(project).")
        case .resetPassword(let user, let given):
            return try resetPassword(user: user, given: given.map { Secret($0) })
        case .rotateTokenKeys:
            let dropped = try identity.rotateKeys()
            logger.notice("token keys rotated by the operator")
            return AdminReply(
                succeeded: true,
                text: "Tokens are made with another key from now on."
                    + (dropped.isEmpty
                        ? ""
                        : " Key \(dropped.map(String.init).joined(separator: ", ")) is gone, and tokens made with it end.")
            )
        case .volumes: return volumes.list()
        case .volumeSpace(let volume): return volumes.space(of: volume)
        case .volumeSessions(let volume): return volumes.sessions(of: volume)
        case .endVolumeSession(let session): return volumes.endSession(session)
        }
    }

    private func resetPassword(user: String, given: Secret?) throws(IdentityError) -> AdminReply {
        let reference = UserReference.name(user, .standard)
        let password: Secret
        if let given {
            try control.identity.setPassword(given, of: reference)
            password = given
        } else {
            password = try control.identity.resetPassword(of: reference)
        }
        logger.notice("password reset by the operator", metadata: ["user": "\(user)"])
        var text = "The password of \(user) is changed; their tokens have ended."
        if user == IdentityService.adminName {
            do {
                try files.keep(password: password)
                try files.write(endpoints)
                text += " openrc and clouds.yaml have the new one."
            } catch {
                text += " But openrc and clouds.yaml still have the old one: \(error)"
            }
        }
        return reply(text, given == nil ? password : nil, [:])
    }

    /// A password that was made here is told once, to the operator, and to nobody else.
    private func reply(_ text: String, _ password: Secret?, _ fields: [String: String]) -> AdminReply {
        guard let password else { return AdminReply(succeeded: true, text: text, fields: fields) }
        let plain = String(decoding: password.bytes, as: UTF8.self)
        return AdminReply(
            succeeded: true, text: text + "\nPassword: " + plain,
            fields: fields.merging(["password": plain]) { _, new in new })
    }
}

extension AdminRequest {
    fileprivate var isAboutUsers: Bool {
        switch self {
        case .createProject, .createUser, .addRole, .resetPassword, .rotateTokenKeys: true
        case .status, .metrics, .volumes, .volumeSpace, .volumeSessions, .endVolumeSession: false
        }
    }
}
