import ControlFace
import HTTPTypes
import VolumeDrivers
import Volumes

extension Routes {
    static let adminRoutes: [Route] =
        quotaRoutes + serviceRoutes + discoveryRoutes + manageRoutes("manageable_volumes", since: 8)
        + manageRoutes("os-volume-manage", since: 0) + manageSnapshotRoutes("manageable_snapshots", since: 8)
        + manageSnapshotRoutes("os-snapshot-manage", since: 0) + backupRoutes

    private static let quotaRoutes: [Route] = [
        Route(.get, "os-quota-sets/*", .reader, "volume_extension:quotas:show") { h, c async throws(VolumeError) in
            try await h.showQuotas(c)
        },
        Route(.get, "os-quota-sets/*/defaults", .reader, "volume_extension:quotas:show") {
            h, c async throws(VolumeError) in
            try h.checkProject(c, "volume_extension:quotas:show")
            return .ok(.of(["quota_set": try await h.quotaClass("default", id: c.arguments[0])]))
        },
        Route(.put, "os-quota-sets/*", .admin, "volume_extension:quotas:update") { h, c async throws(VolumeError) in
            let limits = try h.limits(c, "quota_set")
            let skips = try c.flag("skip_validation") ?? true
            try await h.volumes.setQuotas(of: c.arguments[0], limits, checked: !skips)
            let quotas = try await h.volumes.quotas(of: c.arguments[0])
            return .ok(.of(["quota_set": Views.quotas(quotas.map { ($0.kind, $0.usage.limit) }, id: nil)]))
        },
        Route(.delete, "os-quota-sets/*", .admin, "volume_extension:quotas:delete") { h, c async throws(VolumeError) in
            try await h.volumes.resetQuotas(of: c.arguments[0])
            return .done
        },
        Route(.get, "os-quota-class-sets/*", .admin, "volume_extension:quota_classes:get") {
            h, c async throws(VolumeError) in
            .ok(.of(["quota_class_set": try await h.quotaClass(c.arguments[0], id: c.arguments[0])]))
        },
        Route(.put, "os-quota-class-sets/*", .admin, "volume_extension:quota_classes:update") {
            h, c async throws(VolumeError) in
            try await h.volumes.setQuotaClass(c.arguments[0], try h.limits(c, "quota_class_set"))
            return .ok(.of(["quota_class_set": try await h.quotaClass(c.arguments[0], id: nil)]))
        },
        Route(.get, "limits", .reader, "limits_extension:used_limits") { h, c async throws(VolumeError) in
            try await h.showLimits(c)
        },
    ]

    private static let serviceRoutes: [Route] = [
        Route(.get, "os-services", .admin, "volume_extension:services:index") { h, c async throws(VolumeError) in
            try await h.listServices(c)
        },
        Route(.put, "os-services/*", .admin, "volume_extension:services:update") { h, c async throws(VolumeError) in
            try await h.updateService(c)
        },
        Route(.get, "os-hosts", .admin, "volume_extension:hosts") { h, c async throws(VolumeError) in
            let services = try await h.volumes.services()
            let now = h.volumes.configuration.now()
            return .ok(
                .of([
                    "hosts": .array(
                        services.map { service in
                            .of([
                                "service-status": .string("available"), "service": .string(service.binary),
                                "zone": .string(h.volumes.configuration.zone),
                                "service-state": .string(service.isDisabled ? "disabled" : "enabled"),
                                "host_name": .string(service.host), "last-update": Views.time(now),
                            ])
                        })
                ]))
        },
        Route(.get, "os-hosts/*", .admin, "volume_extension:hosts") { h, c async throws(VolumeError) in
            let shares = try await h.volumes.shares(ofHost: c.arguments[0])
            return .ok(.of(["host": Views.shares(shares, host: c.arguments[0])]))
        },
        Route(.get, "scheduler-stats/get_pools", .admin, "scheduler_extension:scheduler_stats:get_pools") {
            h, c async throws(VolumeError) in try await h.listPools(c)
        },
        Route(.get, "capabilities/*", .admin, "volume_extension:capabilities") { h, c async throws(VolumeError) in
            try await h.showCapabilities(c)
        },
        Route(.get, "clusters", since: 7, .admin, "clusters:get_all") { _, _ async throws(VolumeError) in
            .ok(.of(["clusters": .array([])]))
        },
        Route(.get, "clusters/detail", since: 7, .admin, "clusters:get_all") { _, _ async throws(VolumeError) in
            .ok(.of(["clusters": .array([])]))
        },
        Route(.post, "workers/cleanup", since: 24, .admin, "workers:cleanup") { h, _ async throws(VolumeError) in
            _ = try await h.volumes.sweep()
            return Reply(.accepted, .of(["cleaning": .array([]), "unavailable": .array([])]))
        },
    ]

    private static let discoveryRoutes: [Route] = [
        Route(.get, "os-availability-zone", .reader, "volume:availability_zone_list") {
            h, _ async throws(VolumeError) in
            .ok(
                .of([
                    "availabilityZoneInfo": .array([
                        .of([
                            "zoneName": .string(h.volumes.configuration.zone),
                            "zoneState": .of(["available": .bool(true)]),
                        ])
                    ])
                ]))
        },
        Route(.get, "extensions", .reader, "volume:extensions") { _, _ async throws(VolumeError) in
            .ok(.of(["extensions": .array(Extensions.all.map { Extensions.view($0) })]))
        },
        Route(.get, "extensions/*", .reader, "volume:extensions") { _, c async throws(VolumeError) in
            guard let found = Extensions.all.first(where: { $0.alias == c.arguments[0] }) else {
                throw .notFound(kind: "Extension", id: c.arguments[0])
            }
            return .ok(.of(["extension": Extensions.view(found)]))
        },
        Route(.get, "resource_filters", since: 33, .reader, "volume:resource_filters") {
            _, c async throws(VolumeError) in
            let wanted = c.parameter("resource")
            let kinds = Views.resourceFilters.filter { wanted == nil || $0.0 == wanted }
            return .ok(
                .of([
                    "resource_filters": .array(
                        kinds.map { kind, rules in
                            .of([
                                "resource": .string(kind),
                                "filters": .array(rules.filters.keys.sorted().map { .string($0) }),
                            ])
                        })
                ]))
        },
        Route(.get, "messages", since: 3, .reader, "message:get_all") { h, c async throws(VolumeError) in
            let views = Views(c)
            return try await h.list(
                c, ListRequest.messages, "messages", id: { $0.id }, view: { views.message($0) },
                fetch: { query async throws(VolumeError) in try await h.volumes.messages(query, for: c.asker) })
        },
        Route(.get, "messages/*", since: 3, .reader, "message:get") { h, c async throws(VolumeError) in
            let message = try await h.volumes.message(c.arguments[0], for: c.asker)
            return .ok(.of(["message": Views(c).message(message)]))
        },
        Route(.delete, "messages/*", since: 3, .member, "message:delete") { h, c async throws(VolumeError) in
            try await h.volumes.deleteMessage(c.arguments[0], for: c.asker)
            return .noContent
        },
    ]
}

extension Views {
    static let resourceFilters: [(String, ListRequest.Rules)] = [
        ("attachment", ListRequest.attachments), ("backup", ListRequest.backups), ("group", ListRequest.groups),
        ("group_snapshot", ListRequest.groupSnapshots), ("message", ListRequest.messages),
        ("snapshot", ListRequest.snapshots), ("volume", ListRequest.volumes),
    ]

    static func quotas(_ limits: [(QuotaKind, Int)], id: String?) -> JSON {
        var view = JSON.object(limits.map { .init(key: $0.0.name, value: number($0.1)) })
        if let id { view.add("id", .string(id)) }
        return view
    }

    static func shares(_ shares: [HostShare], host: String) -> JSON {
        func row(_ share: HostShare) -> JSON {
            .of([
                "resource": .of([
                    "volume_count": .string(String(share.volumes)),
                    "total_volume_gb": .string(String(share.volumeGigabytes)),
                    "total_snapshot_gb": .string(String(share.snapshotGigabytes)),
                    "project": .string(share.project), "host": .string(host),
                    "snapshot_count": .string(String(share.snapshots)),
                ])
            ])
        }
        let total = HostShare(
            project: "(total)", volumes: shares.reduce(0) { $0 + $1.volumes },
            volumeGigabytes: shares.reduce(0) { $0 + $1.volumeGigabytes },
            snapshots: shares.reduce(0) { $0 + $1.snapshots },
            snapshotGigabytes: shares.reduce(0) { $0 + $1.snapshotGigabytes })
        return .array([row(total)] + shares.map(row))
    }
}

extension Handlers {
    /// Others' quotas are administrators' business.
    func checkProject(_ call: Call, _ rule: String) throws(VolumeError) {
        guard call.asker.isAdmin || call.arguments[0] == call.asker.projectID else { throw .forbidden(rule: rule) }
    }

    func limits(_ call: Call, _ key: String) throws(VolumeError) -> [String: Int] {
        let fields = try call.fields(key)
        var limits: [String: Int] = [:]
        for name in fields.names where name != "tenant_id" && name != "id" && name != "class_name" {
            guard let limit = try fields.integer(name), limit >= -1, limit <= Limits.sizeMax else {
                throw .invalid("Invalid input for field/attribute \(name). It must be an integer of at least -1.")
            }
            limits[name] = limit
        }
        return limits
    }

    func quotaClass(_ name: String, id: String?) async throws(VolumeError) -> JSON {
        let limits = try await volumes.quotaClass(name)
        return Views.quotas(limits.map { ($0.kind, $0.limit) }, id: id)
    }

    func showQuotas(_ call: Call) async throws(VolumeError) -> Reply {
        try checkProject(call, "volume_extension:quotas:show")
        let project = call.arguments[0]
        let quotas = try await volumes.quotas(of: project)
        guard try call.flag("usage") ?? false else {
            return .ok(.of(["quota_set": Views.quotas(quotas.map { ($0.kind, $0.usage.limit) }, id: project)]))
        }
        var view = JSON.object(
            quotas.map { kind, usage in
                .init(
                    key: kind.name,
                    value: .of([
                        "limit": Views.number(usage.limit), "in_use": Views.number(usage.inUse),
                        "reserved": Views.number(usage.reserved), "allocated": Views.number(0),
                    ]))
            })
        view.add("id", .string(project))
        return .ok(.of(["quota_set": view]))
    }

    func showLimits(_ call: Call) async throws(VolumeError) -> Reply {
        var project = call.asker.projectID
        if call.version.minor >= 39, call.asker.isAdmin, let other = call.parameter("project_id") { project = other }
        let quotas = try await volumes.quotas(of: project)
        let byKind = Dictionary(uniqueKeysWithValues: quotas.map { ($0.kind, $0.usage) })
        func limit(_ kind: QuotaKind) -> JSON { Views.number(byKind[kind]?.limit ?? -1) }
        func used(_ kind: QuotaKind) -> JSON {
            Views.number((byKind[kind]?.inUse ?? 0) + (byKind[kind]?.reserved ?? 0))
        }
        return .ok(
            .of([
                "limits": .of([
                    "rate": .array([]),
                    "absolute": .of([
                        "maxTotalVolumes": limit(.volumes), "maxTotalVolumeGigabytes": limit(.gigabytes),
                        "maxTotalSnapshots": limit(.snapshots), "maxTotalBackups": limit(.backups),
                        "maxTotalBackupGigabytes": limit(.backupGigabytes), "totalVolumesUsed": used(.volumes),
                        "totalGigabytesUsed": used(.gigabytes), "totalSnapshotsUsed": used(.snapshots),
                        "totalBackupsUsed": used(.backups), "totalBackupGigabytesUsed": used(.backupGigabytes),
                    ]),
                ])
            ]))
    }

    func listServices(_ call: Call) async throws(VolumeError) -> Reply {
        let views = Views(call)
        let (zone, now) = (volumes.configuration.zone, volumes.configuration.now())
        let services = try await volumes.services().filter { service in
            (call.parameter("binary").map { $0 == service.binary } ?? true)
                && (call.parameter("host").map { service.host == $0 || service.host.hasPrefix($0 + "@") } ?? true)
        }
        return .ok(.of(["services": .array(services.map { views.service($0, zone: zone, now: now) })]))
    }

    func updateService(_ call: Call) async throws(VolumeError) -> Reply {
        guard let body = call.body else { throw .invalid("Missing request body") }
        let fields = try Shape(body, "service")
        switch call.arguments[0] {
        case "enable", "disable", "disable-log-reason":
            let host = try fields.requiredText("host")
            let binary = try fields.text("binary", or: "service")
            guard let binary else { throw .invalid("'binary' is a required property") }
            let isDisabled = call.arguments[0] != "enable"
            let givesReason = call.arguments[0] == "disable-log-reason"
            let reason = try givesReason ? fields.requiredText("disabled_reason") : nil
            try await volumes.setService(binary: binary, host: host, isDisabled: isDisabled, reason: reason)
            var view = JSON.of([
                "host": .string(host), "service": .string(binary), "binary": .string(binary),
                "disabled": .bool(isDisabled), "status": .string(isDisabled ? "disabled" : "enabled"),
            ])
            if !isDisabled { view.add("disabled_reason", .null) }
            if let reason { view.add("disabled_reason", .string(reason)) }
            return .ok(view)
        case "freeze", "thaw":
            try await volumes.setFrozen(host: try fields.requiredText("host"), call.arguments[0] == "freeze")
            return .done
        case "failover_host", "failover":
            _ = try fields.requiredText("host")
            throw .invalid("Invalid input received: the backend is not replicated.")
        // No level belongs to one of these parts alone.
        case "get-log" where call.version.minor >= 32: return .ok(.of(["log_levels": .array([])]))
        case "set-log" where call.version.minor >= 32:
            throw .invalid("Invalid input received: levels are set in the daemon's configuration.")
        default: throw .notFound(kind: "Action", id: call.arguments[0])
        }
    }

    func listPools(_ call: Call) async throws(VolumeError) -> Reply {
        let configuration = volumes.configuration
        let isDetailed = try call.flag("detail") ?? false
        let wanted = call.version.minor < 28 ? nil : call.parameter("name")
        var views: [JSON] = []
        for pool in try await volumes.pools() where pool.isUsable {
            let place = configuration.place(pool.backend)
            guard wanted == nil || wanted == place else { continue }
            var view = JSON.of(["name": .string(place)])
            if isDetailed { view.add("capabilities", Self.poolCapabilities(pool, configuration)) }
            views.append(view)
        }
        return .ok(.of(["pools": .array(views)]))
    }

    private static func poolCapabilities(_ pool: PoolView, _ configuration: VolumeConfiguration) -> JSON {
        func gigabytes(_ bytes: UInt64) -> JSON { .number(String(bytes >> 30)) }
        return .of([
            "volume_backend_name": .string(pool.backend), "pool_name": .string(configuration.pool),
            "vendor_name": .string(configuration.vendor), "driver_version": .string(pool.traits.version),
            "storage_protocol": .string(pool.traits.storageProtocol),
            "total_capacity_gb": gigabytes(pool.statistics.totalBytes),
            "free_capacity_gb": gigabytes(pool.statistics.freeBytes),
            "allocated_capacity_gb": Views.number(pool.allocated),
            "provisioned_capacity_gb": Views.number(pool.provisioned),
            "max_over_subscription_ratio": .string(String(configuration.overSubscriptionMax)),
            "reserved_percentage": Views.number(configuration.reservedPercentage),
            "thin_provisioning_support": .bool(pool.traits.isThin),
            "thick_provisioning_support": .bool(!pool.traits.isThin),
            "multiattach": .bool(pool.traits.supportsMultiattach), "QoS_support": .bool(true),
            "consistent_group_snapshot_enabled": .bool(pool.traits.snapshotsTogether),
            "location_info": .string("\(pool.traits.name):\(configuration.host):\(configuration.pool)"),
            "timestamp": Views.time(configuration.now()), "backend_state": .string("up"),
        ])
    }

    func showCapabilities(_ call: Call) async throws(VolumeError) -> Reply {
        let configuration = volumes.configuration
        let asked = call.arguments[0]
        let known = configuration.backends.first {
            [configuration.place($0), configuration.backendHost($0)].contains(asked)
        }
        guard let backend = known else {
            throw .notFound(kind: "Host", id: call.arguments[0])
        }
        let traits = volumes.driver.traits
        return .ok(
            .of([
                "namespace": .string("OS::Storage::Capabilities::\(configuration.backendHost(backend))"),
                "vendor_name": .string(configuration.vendor), "volume_backend_name": .string(backend),
                "pool_name": .string(configuration.pool), "driver_version": .string(traits.version),
                "storage_protocol": .string(traits.storageProtocol), "display_name": .string(backend),
                "description": .string("Volumes of \(configuration.backendHost(backend))"),
                "visibility": .string("public"),
                "replication_targets": .array([]), "properties": .object([]),
            ]))
    }
}

/// Parts of the API by the names they had when they were optional: old clients ask for them.
enum Extensions {
    static let all: [(alias: String, name: String, description: String)] = [
        ("backups", "Backups", "Backups support."),
        ("capabilities", "Capabilities", "Capabilities support."),
        ("encryption", "VolumeEncryptionMetadata", "Volume encryption metadata retrieval support."),
        ("os-admin-actions", "AdminActions", "Administrators' actions."),
        ("os-availability-zone", "AvailabilityZones", "Describe Availability Zones."),
        ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes", "Extended SnapshotAttributes support."),
        ("os-hosts", "Hosts", "Admin-only host administration."),
        ("os-quota-class-sets", "QuotaClasses", "Quota classes management support."),
        ("os-quota-sets", "Quotas", "Quota management support."),
        ("os-services", "Services", "Services support."),
        ("os-snapshot-actions", "SnapshotActions", "Enable snapshot manager actions."),
        ("os-snapshot-manage", "SnapshotManage", "Allows existing backend storage to be managed."),
        ("os-snapshot-unmanage", "SnapshotUnmanage", "Enable volume unmanage operation."),
        ("os-types-extra-specs", "TypesExtraSpecs", "Type extra specs support."),
        ("os-types-manage", "TypesManage", "Types manage support."),
        ("os-used-limits", "UsedLimits", "Provide data on limited resource that are being used."),
        ("os-vol-host-attr", "VolumeHostAttribute", "Expose host as an attribute of a volume."),
        ("os-vol-image-meta", "VolumeImageMetadata", "Show image metadata associated with the volume."),
        ("os-vol-mig-status-attr", "VolumeMigStatusAttribute", "Expose migration_status as an attribute of a volume."),
        ("os-vol-tenant-attr", "VolumeTenantAttribute", "Expose the internal project_id as an attribute of a volume."),
        ("os-volume-actions", "VolumeActions", "Enable volume actions."),
        ("os-volume-encryption-metadata", "VolumeEncryptionMetadata", "Volume encryption metadata retrieval support."),
        ("os-volume-manage", "VolumeManage", "Allows existing backend storage to be managed."),
        ("os-volume-transfer", "VolumeTransfer", "Volume transfer management support."),
        ("os-volume-type-access", "VolumeTypeAccess", "Volume type access support."),
        ("os-volume-unmanage", "VolumeUnmanage", "Enable volume unmanage operation."),
        ("qos-specs", "Qos_specs_manage", "QoS specs support."),
        ("scheduler-stats", "Scheduler_stats", "Scheduler stats support."),
    ]

    static func view(_ item: (alias: String, name: String, description: String)) -> JSON {
        .of([
            "alias": .string(item.alias), "name": .string(item.name), "description": .string(item.description),
            "links": .array([]), "updated": .string("2011-08-24T00:00:00+00:00"),
        ])
    }
}
