-- Writes the current state of files in a feed.
-- $1 stream, $2 user, $3 full pass, $4…$12: one array per column
INSERT INTO drive_file_access AS a (stream_id, user_id, seen_pass, file_id, name, parents, trashed, version, content_key, owned_by_me, starred,
  permissions_known)
SELECT $1, $2, $3, file_id, name, ARRAY(SELECT jsonb_array_elements_text(parents::jsonb)), trashed, version, content_key, owned_by_me, starred,
  permissions_known
FROM unnest($4::text[], $5::text[], $6::text[], $7::bool[], $8::bigint[], $9::text[], $10::bool[], $11::bool[], $12::text[])
  AS t (file_id, name, parents, trashed, version, content_key, owned_by_me, starred, permissions_known)
ON CONFLICT (stream_id, file_id) DO UPDATE SET name = excluded.name, parents = excluded.parents, trashed = excluded.trashed,
  version = excluded.version, content_key = excluded.content_key, owned_by_me = excluded.owned_by_me, starred = excluded.starred,
  permissions_known = excluded.permissions_known, seen_pass = coalesce(excluded.seen_pass, a.seen_pass), deleted_at = NULL, synced_at = now(),
  changed_xid = DEFAULT
