/// Who vouches for tokens: this daemon itself, or an Identity service that is there already, and how that one is asked.
package struct AuthoritySettings: Sendable, Equatable {
    /// False: users, projects and tokens are this daemon's own, and nothing below is looked at.
    package var isOutside: Bool
    package var url: String
    /// PEM; empty: the system's.
    package var caFile: String
    package var allowsPlaintext: Bool
    package var user: String
    package var userDomain: String
    package var passwordFile: String
    package var project: String
    package var projectDomain: String
    package var cacheSeconds: Int
    package var timeoutSeconds: Int

    init(values: Values) throws(DaemonError) {
        let authority = try values.text("identity.authority")
        guard ["local", "keystone"].contains(authority) else {
            throw DaemonError("identity.authority is \"\(authority)\".", remedy: "Use local or keystone.")
        }
        isOutside = authority == "keystone"
        url = try values.text("identity.keystone_url")
        caFile = try values.text("identity.keystone_ca_file")
        allowsPlaintext = try values.flag("identity.keystone_allow_plaintext")
        user = try values.text("identity.keystone_user")
        userDomain = try values.text("identity.keystone_user_domain")
        passwordFile = try values.text("identity.keystone_password_file")
        project = try values.text("identity.keystone_project")
        projectDomain = try values.text("identity.keystone_project_domain")
        cacheSeconds = try values.number("identity.keystone_cache_seconds")
        timeoutSeconds = try values.number("identity.keystone_timeout_seconds")
    }

    /// nil where the daemon is its own authority, or the address isn't one.
    var address: AuthorityAddress? { isOutside ? AuthorityAddress(url) : nil }

    /// Refuses what is missing, and a password on a wire that others can read. Touches no file.
    func check() throws(DaemonError) {
        guard isOutside else { return }
        guard let address = AuthorityAddress(url) else {
            throw DaemonError(
                "identity.keystone_url is \"\(url)\".",
                remedy: "Give http:// or https://, a host, a port if it isn't the usual one, a path if there is one.")
        }
        if !address.web.isSecure && !address.isLoopback && !allowsPlaintext {
            throw DaemonError(
                "identity.keystone_url is on another machine, without TLS: passwords and tokens would cross the network in the clear.",
                remedy: "Use https://, or accept the risk with identity.keystone_allow_plaintext=true.")
        }
        for (name, text) in [
            ("user", user), ("user_domain", userDomain), ("project", project), ("project_domain", projectDomain),
        ] {
            guard (1...255).contains(text.unicodeScalars.count),
                text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
            else {
                throw DaemonError(
                    "identity.keystone_\(name) is \"\(text)\".",
                    remedy: "Give the name that the outside service knows: 1 to 255 characters, no control characters.")
            }
        }
        guard passwordFile.hasPrefix("/"), caFile.isEmpty || caFile.hasPrefix("/") else {
            throw DaemonError(
                "identity.keystone_password_file and identity.keystone_ca_file want whole paths.",
                remedy: "Put the password of \(user) into a file of mode 0600 and name it, such as /etc/apus/password.")
        }
    }
}

/// Where an outside Identity service is: as configured, without the `/v3` behind it.
struct AuthorityAddress: Sendable, Equatable {
    let web: WebAddress
    /// Empty, or with a slash in front and none behind.
    let prefix: String

    init?(_ text: String) {
        guard let web = WebAddress(text), !text.contains("?"), !text.contains("#") else { return nil }
        var prefix = Substring(web.path)
        while prefix.hasSuffix("/") { prefix.removeLast() }
        if prefix.hasSuffix("/v3") { prefix.removeLast("/v3".count) }
        while prefix.hasSuffix("/") { prefix.removeLast() }
        self.web = web
        self.prefix = String(prefix)
    }

    /// `scheme://host:port[/prefix]`, as clients have it, who put `/v3` behind it.
    var base: String { (web.isSecure ? "https://" : "http://") + web.authority + prefix }

    /// As a request names it.
    var hostField: String {
        let isUsual = web.port == (web.isSecure ? 443 : 80)
        return isUsual ? (web.host.contains(":") ? "[\(web.host)]" : web.host) : web.authority
    }

    var isLoopback: Bool {
        ListenerSettings(name: "identity", host: web.host, port: web.port, tls: nil, allowsPlaintext: false).isLoopback
    }
}
