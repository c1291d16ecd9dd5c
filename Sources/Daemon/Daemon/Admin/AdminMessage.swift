/// What `apus` asks of a running daemon: one JSON object on one line, over the socket in the data folder. Who may
/// open that socket (0600, in a folder of 0700) may do all of it.
package enum AdminRequest: Codable, Sendable, Equatable {
    case status
    case metrics
    case createProject(name: String, description: String)
    /// `password` nil: the daemon makes one and the reply carries it. `project`: gives `role` there, too.
    case createUser(name: String, password: String?, project: String?, role: String?)
    case addRole(role: String, user: String, project: String)
    case resetPassword(user: String, password: String?)
    case rotateTokenKeys
    case volumes
    /// Of one volume, layer by layer, or (nil) of each.
    case volumeSpace(volume: String?)
    case volumeSessions(volume: String?)
    case endVolumeSession(session: UInt64)

    /// The longest request line, and the longest reply.
    package static let requestBytesMax = 64 << 10
    package static let replyBytesMax = 4 << 20
}

/// The answer: one JSON object on one line, after which the daemon closes the connection.
package struct AdminReply: Codable, Sendable, Equatable {
    package var succeeded: Bool
    /// For a person.
    package var text: String
    /// For a program: ids, counters, a password that the daemon made.
    package var fields: [String: String]

    package init(succeeded: Bool, text: String, fields: [String: String] = [:]) {
        self.succeeded = succeeded
        self.text = text
        self.fields = fields
    }

    package static func refused(_ text: String) -> AdminReply { AdminReply(succeeded: false, text: text) }
}
