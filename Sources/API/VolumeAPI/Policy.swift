import Volumes

/// Who may do what, by role: readers look, members change what is their project's, administrators do everything.
enum Policy {
    static func check(_ role: Route.Role, _ rule: String, _ call: Call) throws(VolumeError) {
        guard allows(role, call) else { throw .forbidden(rule: rule) }
    }

    static func allows(_ role: Route.Role, _ call: Call) -> Bool {
        if call.asker.isAdmin { return true }
        return switch role {
        case .reader: !call.roles.isDisjoint(with: ["reader", "member", "service"])
        case .member: !call.roles.isDisjoint(with: ["member", "service"])
        case .admin: false
        }
    }

    /// For administrators and services.
    static func checkService(_ rule: String, _ call: Call) throws(VolumeError) {
        guard call.asker.isAdmin || call.asker.isService else { throw .forbidden(rule: rule) }
    }
}
