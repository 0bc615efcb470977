-- Upserts attachments. Unchanged rows are not rewritten. A content that is stored stays, even if the settings no longer include it.
-- A message whose attachments change has changed for incremental readers, too.
-- $1 stream, $2 user, $3… one array per column
WITH written AS (
  INSERT INTO gmail_attachments AS a (stream_id, user_id, message_id, position, name, mime_type, size, content_id, inline, sha256, not_stored)
  SELECT $1, $2, message_id, position, name, mime_type, size, content_id, inline, sha256, not_stored
  FROM unnest($3::text[], $4::int[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bool[], $10::bytea[], $11::text[])
    AS t (message_id, position, name, mime_type, size, content_id, inline, sha256, not_stored)
  ON CONFLICT (stream_id, message_id, position) DO UPDATE SET
    name = excluded.name, mime_type = excluded.mime_type, size = excluded.size, content_id = excluded.content_id, inline = excluded.inline,
    sha256 = excluded.sha256, not_stored = excluded.not_stored, deleted_at = NULL
  WHERE (a.name, a.mime_type, a.size, a.content_id, a.inline, a.sha256, a.not_stored, a.deleted_at) IS DISTINCT FROM (excluded.name,
      excluded.mime_type, excluded.size, excluded.content_id, excluded.inline, excluded.sha256, excluded.not_stored, NULL::timestamptz)
    -- Of a deleted message, the content may be deleted by now.
    AND NOT (excluded.sha256 IS NULL AND a.sha256 IS NOT NULL AND a.deleted_at IS NULL AND (a.name, a.size) IS NOT DISTINCT FROM (excluded.name, excluded.size))
  RETURNING a.message_id
)
UPDATE gmail_messages SET changed_xid = DEFAULT
WHERE stream_id = $1 AND message_id = ANY (ARRAY(SELECT message_id FROM written))
  AND changed_xid IS DISTINCT FROM pg_current_xact_id()::text::bigint
