-- What users left who were removed before all of it went with them.
DELETE FROM outbox_events e WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.id = e.user_id);
DELETE FROM attendee_bots b WHERE b.state = 'settled' AND NOT EXISTS (SELECT 1 FROM attendee_bot_meetings m WHERE m.bot = b.id)
  AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.source = 'attendee' AND d.source_id = b.bot_id);
DELETE FROM drive_files f WHERE f.gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM drive_file_access a WHERE a.file_id = f.file_id);
UPDATE drive_files f SET gone_at = now()
WHERE f.gone_at IS NULL AND NOT EXISTS (SELECT 1 FROM drive_file_access a WHERE a.file_id = f.file_id AND a.lost_at IS NULL);
UPDATE gmail_detections d SET status = 'user_not_found', user_id = NULL, document_id = NULL
WHERE d.user_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = d.user_id);
DELETE FROM channels c WHERE c.state IN ('stopped', 'refused') AND NOT EXISTS (SELECT 1 FROM users u WHERE u.id = c.user_id);

-- Their texts go after `retention.documents`.
CREATE INDEX documents_deleted ON documents (updated_at) WHERE status = 'deleted';
