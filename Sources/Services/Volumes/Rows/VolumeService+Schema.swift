private import GRDB
package import Records

extension VolumeService {
    /// The volume service's tables. Append only: see `Migration`.
    package static let migrations: [Migration] = [
        Migration("volumes-0001-volumes-snapshots-types") { db in
            try db.execute(sql: volumeTables)
            try db.execute(sql: typeTables)
            try db.execute(sql: groupTables)
            try db.execute(sql: otherTables)
        },
        Migration("volumes-0002-backups") { db in try db.execute(sql: BackupRows.tables) },
    ]

    private static let volumeTables = """
        CREATE TABLE volumes (
            id TEXT NOT NULL PRIMARY KEY,
            project_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            name TEXT,
            description TEXT,
            size INTEGER NOT NULL,
            status TEXT NOT NULL,
            previous_status TEXT,
            attach_status TEXT NOT NULL,
            migration_status TEXT,
            type_id TEXT,
            zone TEXT NOT NULL,
            host TEXT,
            bootable INTEGER NOT NULL,
            multiattach INTEGER NOT NULL,
            encrypted INTEGER NOT NULL,
            encryption_key_id TEXT,
            snapshot_id TEXT,
            source_volume_id TEXT,
            group_id TEXT,
            consumes_quota INTEGER NOT NULL,
            block_bytes INTEGER NOT NULL,
            write_cache INTEGER NOT NULL,
            target_size INTEGER,
            created_at INTEGER NOT NULL,
            updated_at INTEGER);
        CREATE INDEX volumes_by_project ON volumes(project_id, created_at);
        CREATE INDEX volumes_by_status ON volumes(status);
        CREATE INDEX volumes_by_type ON volumes(type_id);
        CREATE INDEX volumes_by_group ON volumes(group_id);
        CREATE TABLE volume_snapshots (
            id TEXT NOT NULL PRIMARY KEY,
            volume_id TEXT NOT NULL REFERENCES volumes(id),
            project_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            name TEXT,
            description TEXT,
            status TEXT NOT NULL,
            size INTEGER NOT NULL,
            progress TEXT NOT NULL,
            group_snapshot_id TEXT,
            consumes_quota INTEGER NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER);
        CREATE INDEX volume_snapshots_by_volume ON volume_snapshots(volume_id, created_at);
        CREATE INDEX volume_snapshots_by_project ON volume_snapshots(project_id, created_at);
        CREATE INDEX volume_snapshots_by_status ON volume_snapshots(status);
        CREATE TABLE volume_facts (
            owner TEXT NOT NULL,
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (owner, kind, name));
        CREATE TABLE volume_attachments (
            id TEXT NOT NULL PRIMARY KEY,
            volume_id TEXT NOT NULL REFERENCES volumes(id),
            project_id TEXT NOT NULL,
            instance_id TEXT,
            host TEXT,
            mountpoint TEXT,
            status TEXT NOT NULL,
            mode TEXT,
            attached_at INTEGER,
            created_at INTEGER NOT NULL,
            updated_at INTEGER);
        CREATE INDEX volume_attachments_by_volume ON volume_attachments(volume_id);
        CREATE TABLE volume_exports (
            id TEXT NOT NULL PRIMARY KEY,
            volume_id TEXT NOT NULL REFERENCES volumes(id),
            attachment_id TEXT,
            initiator TEXT,
            host TEXT,
            target TEXT NOT NULL UNIQUE,
            chap_name TEXT NOT NULL,
            chap_secret TEXT NOT NULL,
            read_only INTEGER NOT NULL,
            multipath INTEGER NOT NULL,
            enforces_multipath INTEGER NOT NULL,
            portals TEXT);
        CREATE INDEX volume_exports_by_volume ON volume_exports(volume_id);
        CREATE TABLE volume_transfers (
            id TEXT NOT NULL PRIMARY KEY,
            volume_id TEXT NOT NULL UNIQUE REFERENCES volumes(id),
            name TEXT,
            source_project_id TEXT NOT NULL,
            salt TEXT NOT NULL,
            key_hash TEXT NOT NULL,
            no_snapshots INTEGER NOT NULL,
            created_at INTEGER NOT NULL);
        """

    private static let typeTables = """
        CREATE TABLE volume_types (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            description TEXT,
            is_public INTEGER NOT NULL,
            qos_id TEXT,
            created_at INTEGER NOT NULL);
        CREATE TABLE volume_type_access (
            type_id TEXT NOT NULL REFERENCES volume_types(id) ON DELETE CASCADE,
            project_id TEXT NOT NULL,
            PRIMARY KEY (type_id, project_id));
        CREATE TABLE volume_default_types (
            project_id TEXT NOT NULL PRIMARY KEY,
            type_id TEXT NOT NULL REFERENCES volume_types(id));
        CREATE TABLE volume_encryptions (
            id TEXT NOT NULL PRIMARY KEY,
            type_id TEXT NOT NULL UNIQUE REFERENCES volume_types(id) ON DELETE CASCADE,
            provider TEXT NOT NULL,
            cipher TEXT,
            key_size INTEGER,
            control_location TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER);
        CREATE TABLE volume_qos (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            consumer TEXT NOT NULL,
            created_at INTEGER NOT NULL);
        """

    private static let groupTables = """
        CREATE TABLE volume_group_types (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            description TEXT,
            is_public INTEGER NOT NULL,
            created_at INTEGER NOT NULL);
        CREATE TABLE volume_groups (
            id TEXT NOT NULL PRIMARY KEY,
            project_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            name TEXT,
            description TEXT,
            status TEXT NOT NULL,
            type_id TEXT NOT NULL REFERENCES volume_group_types(id),
            zone TEXT NOT NULL,
            group_snapshot_id TEXT,
            source_group_id TEXT,
            created_at INTEGER NOT NULL);
        CREATE INDEX volume_groups_by_project ON volume_groups(project_id);
        CREATE TABLE volume_group_volume_types (
            group_id TEXT NOT NULL REFERENCES volume_groups(id) ON DELETE CASCADE,
            type_id TEXT NOT NULL REFERENCES volume_types(id),
            PRIMARY KEY (group_id, type_id));
        CREATE TABLE volume_group_snapshots (
            id TEXT NOT NULL PRIMARY KEY,
            group_id TEXT NOT NULL REFERENCES volume_groups(id),
            group_type_id TEXT NOT NULL,
            project_id TEXT NOT NULL,
            user_id TEXT NOT NULL,
            name TEXT,
            description TEXT,
            status TEXT NOT NULL,
            created_at INTEGER NOT NULL);
        CREATE INDEX volume_group_snapshots_by_group ON volume_group_snapshots(group_id);
        """

    private static let otherTables = """
        CREATE TABLE volume_quotas (
            scope TEXT NOT NULL,
            subject TEXT NOT NULL,
            name TEXT NOT NULL,
            value INTEGER NOT NULL,
            PRIMARY KEY (scope, subject, name));
        CREATE TABLE volume_messages (
            id TEXT NOT NULL PRIMARY KEY,
            project_id TEXT NOT NULL,
            event_id TEXT NOT NULL,
            text TEXT NOT NULL,
            request_id TEXT,
            resource_type TEXT,
            resource_id TEXT,
            created_at INTEGER NOT NULL,
            guaranteed_until INTEGER NOT NULL);
        CREATE INDEX volume_messages_by_project ON volume_messages(project_id, created_at);
        CREATE TABLE volume_services (
            binary_name TEXT NOT NULL,
            host TEXT NOT NULL,
            disabled INTEGER NOT NULL,
            disabled_reason TEXT,
            frozen INTEGER NOT NULL,
            updated_at INTEGER,
            PRIMARY KEY (binary_name, host));
        CREATE TABLE volume_strays (
            reference TEXT NOT NULL,
            is_snapshot INTEGER NOT NULL,
            size INTEGER NOT NULL,
            volume_reference TEXT,
            found_at INTEGER NOT NULL,
            PRIMARY KEY (reference, is_snapshot));
        """
}
