-- Writes new and changed permissions of a feed's files.
-- $1 user, $2 stream, $3…$14: one array per column
INSERT INTO drive_permissions AS p (user_id, stream_id, file_id, permission_id, type, role, email, domain, display_name, allow_file_discovery,
  expires_at, deleted, pending_owner, inherited)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bool[], $11::timestamptz[],
  $12::bool[], $13::bool[], $14::bool[])
ON CONFLICT (user_id, stream_id, file_id, permission_id) DO UPDATE SET type = excluded.type, role = excluded.role, email = excluded.email,
  domain = excluded.domain, display_name = excluded.display_name, allow_file_discovery = excluded.allow_file_discovery,
  expires_at = excluded.expires_at, deleted = excluded.deleted, pending_owner = excluded.pending_owner, inherited = excluded.inherited
