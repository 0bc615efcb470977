-- Documents, sheets and slides of Google's are known by the time of their last edit: their version rises for anything. Converted here, so
-- that none of them counts as modified, and is exported again, because of it.
UPDATE drive_file_watches w SET content_key = floor(extract(epoch FROM f.modified_at) * 1000)::bigint::text FROM drive_files f
WHERE w.file_id = f.file_id AND w.content_key = f.version::text AND f.mime_type LIKE 'application/vnd.google-apps.%' AND f.modified_at IS NOT NULL AND f.md5_checksum IS NULL
  AND f.head_revision_id IS NULL
  AND f.mime_type NOT IN ('application/vnd.google-apps.folder', 'application/vnd.google-apps.shortcut', 'application/vnd.google-apps.drive-sdk');
UPDATE drive_file_access a SET content_key = floor(extract(epoch FROM f.modified_at) * 1000)::bigint::text FROM drive_files f
WHERE a.file_id = f.file_id AND f.mime_type LIKE 'application/vnd.google-apps.%' AND f.modified_at IS NOT NULL AND f.md5_checksum IS NULL
  AND f.head_revision_id IS NULL
  AND f.mime_type NOT IN ('application/vnd.google-apps.folder', 'application/vnd.google-apps.shortcut', 'application/vnd.google-apps.drive-sdk');

-- When content that a limit of the provider's kept back is asked for again.
ALTER TABLE drive_file_watches ADD COLUMN retry_at timestamptz;
