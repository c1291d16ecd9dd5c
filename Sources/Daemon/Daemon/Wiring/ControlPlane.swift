import Identity
private import Images
import Logging
private import Primitives
import Records
private import Volumes

/// `control.db` and what is kept in it: users, projects, roles, tokens and the catalog.
struct ControlPlane: Sendable {
    let records: RecordStore
    let identity: IdentityService

    /// Of all that keep rows in `control.db`.
    static let migrations = IdentityService.migrations + ImageService.migrations + VolumeService.migrations

    static let maintenanceInterval = Duration.seconds(3600)
    static let backupSeconds: Int64 = 86_400

    static func open(
        folder: DataFolder, files: ClientFiles, configuration: DaemonConfiguration, endpoints: ClientFiles.Endpoints,
        logger: Logger
    ) async throws -> ControlPlane {
        try await Blocking.run("control") {
            do {
                let records = try RecordStore(
                    path: folder.databasePath, migrations: migrations)
                var settings = IdentityConfiguration.standard(keyFolder: folder.tokenKeysPath)
                settings.tokenSeconds = Int64(configuration.tokenLifetimeSeconds)
                settings.keyRotationSeconds = max(settings.keyRotationSeconds, settings.tokenSeconds)
                settings.region = configuration.region
                settings.passwordRules = configuration.passwordRules
                let identity = try IdentityService(records: records, configuration: settings)
                if !configuration.authority.isOutside {
                    try bootstrap(identity, files: files, endpoints: endpoints, logger: logger)
                }
                return ControlPlane(records: records, identity: identity)
            } catch let error as RecordsError {
                throw DaemonError("\(error)")
            } catch let error as IdentityError {
                throw DaemonError("Identity can't start: \(error).")
            }
        }
    }

    /// An admin, if there is none, and the catalog.
    private static func bootstrap(
        _ identity: IdentityService, files: ClientFiles, endpoints: ClientFiles.Endpoints, logger: Logger
    ) throws {
        let report = try identity.bootstrap(
            services: published(endpoints), adminPassword: ClientFiles.randomPassword(),
            // Kept before it is committed: there is never an admin whose password nobody has.
            deliver: { password in try files.keep(password: password) })
        if report.madeAdmin {
            logger.notice("the admin was made", metadata: ["project_id": "\(report.adminProjectID)"])
        }
        if try identity.nobodyKnowsPassword(files) {
            logger.warning("the admin's password is not in the data folder; `apus password reset` makes a new one")
        }
    }

    func part(logger: Logger) -> Part {
        Part("control.db") { [records, identity] in
            try await Blocking.run("close") {
                identity.stop()
                try records.close()
            }
            logger.debug("control.db is closed")
        }
    }

    /// Hourly: what has expired is removed, token keys are rotated in their time, and control.db is backed up daily.
    func maintenance(logger: Logger) -> Repeating {
        Repeating(description: "maintenance", interval: Self.maintenanceInterval) { [records, identity] in
            do {
                try await Blocking.run("maintenance") {
                    let report = try identity.maintain()
                    if report.keysRotated { logger.info("token keys rotated") }
                    let now = TimestampClock.systemTicks() / Timestamp.ticksPerSecond
                    let last = try records.lastBackup() ?? 0
                    guard now - last >= Self.backupSeconds else { return }
                    let backup = try records.backUp(now: now)
                    logger.info("control.db was backed up", metadata: ["path": "\(backup.path)"])
                }
            } catch {
                logger.error("maintenance failed; it is tried again in an hour", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func published(_ endpoints: ClientFiles.Endpoints) -> [PublishedService] {
        // The names are what OpenStack's clients and documents call these services; they are data, not ours.
        var services = [
            PublishedService(type: "identity", name: "keystone", url: endpoints.identity + "/v3"),
            PublishedService(type: "object-store", name: "swift", url: endpoints.object + "/v1/AUTH_%(project_id)s"),
        ]
        if let image = endpoints.image {
            services.append(PublishedService(type: "image", name: "glance", url: image))
        }
        if let volume = endpoints.volume {
            // Older clients ask for the second type.
            services += [
                PublishedService(type: "block-storage", name: "cinder", url: volume + "/v3/%(project_id)s"),
                PublishedService(type: "volumev3", name: "cinderv3", url: volume + "/v3/%(project_id)s"),
            ]
        }
        return services
    }
}

extension IdentityService {
    fileprivate func nobodyKnowsPassword(_ files: ClientFiles) throws(DaemonError) -> Bool {
        try files.password() == nil
    }
}
