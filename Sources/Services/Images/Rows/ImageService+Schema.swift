private import GRDB
package import Records

extension ImageService {
    /// The image service's tables. Append only: see `Migration`.
    package static let migrations: [Migration] = [
        Migration("images-0001-images-members-tasks") { db in
            try db.execute(sql: imageTables)
            try db.execute(sql: taskTables)
        },
        Migration("images-0002-metadata-definitions") { db in try db.execute(sql: DefinitionRows.tables) },
    ]

    /// A deleted image keeps its row, so that its id is never given to another.
    private static let imageTables = """
        CREATE TABLE images (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT,
            status TEXT NOT NULL,
            visibility TEXT NOT NULL,
            owner TEXT,
            protected INTEGER NOT NULL,
            hidden INTEGER NOT NULL,
            size INTEGER,
            virtual_size INTEGER,
            disk_format TEXT,
            container_format TEXT,
            min_disk INTEGER NOT NULL,
            min_ram INTEGER NOT NULL,
            checksum TEXT,
            hash_algorithm TEXT,
            hash_value TEXT,
            data_key TEXT,
            staged_key TEXT,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            deleted_at INTEGER);
        CREATE INDEX images_by_owner ON images(owner, created_at);
        CREATE INDEX images_by_time ON images(created_at, id);
        CREATE INDEX images_by_status ON images(status);
        CREATE INDEX images_by_data ON images(data_key);
        CREATE INDEX images_by_staged ON images(staged_key);
        CREATE TABLE image_properties (
            image_id TEXT NOT NULL REFERENCES images(id),
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (image_id, name)) WITHOUT ROWID;
        CREATE INDEX image_properties_by_name ON image_properties(name, value);
        CREATE TABLE image_tags (
            image_id TEXT NOT NULL REFERENCES images(id),
            tag TEXT NOT NULL,
            PRIMARY KEY (image_id, tag)) WITHOUT ROWID;
        CREATE INDEX image_tags_by_tag ON image_tags(tag);
        CREATE TABLE image_members (
            image_id TEXT NOT NULL REFERENCES images(id),
            member TEXT NOT NULL,
            status TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            PRIMARY KEY (image_id, member)) WITHOUT ROWID;
        CREATE INDEX image_members_by_member ON image_members(member, status);
        CREATE TABLE image_stores (
            image_id TEXT NOT NULL REFERENCES images(id),
            store TEXT NOT NULL,
            PRIMARY KEY (image_id, store)) WITHOUT ROWID;
        CREATE TABLE image_staged (
            image_id TEXT NOT NULL PRIMARY KEY REFERENCES images(id),
            size INTEGER NOT NULL,
            checksum TEXT NOT NULL,
            hash_value TEXT NOT NULL,
            virtual_size INTEGER,
            refusal TEXT) WITHOUT ROWID;
        CREATE TABLE image_disks (
            data_key TEXT NOT NULL PRIMARY KEY,
            disk_key TEXT NOT NULL,
            virtual_size INTEGER) WITHOUT ROWID;
        CREATE TABLE image_trash (
            key TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
        """

    private static let taskTables = """
        CREATE TABLE image_tasks (
            id TEXT NOT NULL PRIMARY KEY,
            type TEXT NOT NULL,
            status TEXT NOT NULL,
            owner TEXT NOT NULL,
            image_id TEXT,
            user_id TEXT NOT NULL,
            request_id TEXT NOT NULL,
            input TEXT NOT NULL,
            result TEXT,
            message TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            expires_at INTEGER);
        CREATE INDEX image_tasks_by_image ON image_tasks(image_id);
        CREATE INDEX image_tasks_by_time ON image_tasks(created_at, id);
        """
}
