/// What `Tools/run` shows when the daemon answers.
enum Welcome {
    /// - Parameter signsInHere: false: an outside Identity service vouches for users, and knows how they begin.
    static func text(endpoints: ClientFiles.Endpoints, folder: String, signsInHere: Bool) -> String {
        let volume = endpoints.volume.map { "\n  Volume API     \($0)/v3" } ?? ""
        let image = endpoints.image.map { "\n  Image API      \($0)/v2" } ?? ""
        let iscsi = endpoints.iscsi.map { "     (iSCSI: \($0))" } ?? ""
        let metrics = endpoints.metrics.map { "\n  Metrics        \($0)/metrics" } ?? ""
        guard signsInHere else {
            return """

                Apus answers. Users sign in at \(endpoints.identity)/v3.

                  Object API     \(endpoints.object)/v1\(image)\(volume)\(iscsi)\(metrics)

                  Data           \(folder)

                Ctrl-C stops it.

                """
        }
        return """

            Apus answers.

              Identity API   \(endpoints.identity)/v3
              Object API     \(endpoints.object)/v1     (v1 sign-in: \(endpoints.object)/auth/v1.0)\(image)\(volume)\(iscsi)\(metrics)

              Data           \(folder)
              openrc         \(folder)/\(ClientFiles.openrcName)          (for shells; has the admin's password)
              clouds.yaml    \(folder)/\(ClientFiles.cloudsName)     (for OpenStack's SDK and CLI)

            Try, in another terminal:

              . '\(folder)/\(ClientFiles.openrcV1Name)'; curl -si -H "X-Auth-User: $ST_USER" -H "X-Auth-Key: $ST_KEY" "$ST_AUTH"
              . '\(folder)/\(ClientFiles.openrcName)'; rclone copy README.md :swift:try --swift-env-auth
              . '\(folder)/\(ClientFiles.openrcName)'; rclone ls :swift:try --swift-env-auth

            Ctrl-C stops it.

            """
    }
}
