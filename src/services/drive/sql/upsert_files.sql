-- Upserts files in the order of their ids. Writes only newer versions, files that were gone, and the same version of files that were stored without
-- created_at; all others are only locked.
-- $1…$12: one array per column
INSERT INTO drive_files AS f (file_id, drive_id, name, mime_type, parents, trashed, version, md5_checksum, head_revision_id, size,
  modified_at, web_view_link, created_at, description, owners, owner_names, shared, shortcut_target_id, shortcut_target_mime_type, raw)
SELECT file_id, drive_id, name, mime_type,
  ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof(file -> 'parents') WHEN 'array' THEN file -> 'parents' ELSE '[]' END)),
  trashed, version, md5_checksum, head_revision_id, size, modified_at, web_view_link,
  (file ->> 'createdTime')::timestamptz, left(file ->> 'description', 4000), owners.addresses, owners.names, (file ->> 'shared')::boolean,
  file #>> '{shortcutDetails,targetId}', file #>> '{shortcutDetails,targetMimeType}',
  -- Only what is the same for all users, and not stored in full elsewhere.
  file - '{permissions,permissionIds,ownedByMe,starred,description}'::text[]
FROM (
  -- A change contains its file; a listing consists of files.
  SELECT t.*, coalesce(t.raw::jsonb -> 'file', t.raw::jsonb) AS file
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bigint[], $7::text[], $8::text[], $9::bigint[],
    $10::timestamptz[], $11::text[], $12::text[])
    AS t (file_id, drive_id, name, mime_type, trashed, version, md5_checksum, head_revision_id, size, modified_at, web_view_link, raw)
) AS seen
CROSS JOIN LATERAL (
  SELECT array_agg(lower((owner ->> 'emailAddress') COLLATE "C") ORDER BY number) AS addresses, array_agg(owner ->> 'displayName' ORDER BY number) AS names
  FROM jsonb_array_elements(CASE jsonb_typeof(file -> 'owners') WHEN 'array' THEN file -> 'owners' ELSE '[]' END) WITH ORDINALITY AS o (owner, number)
) AS owners
ORDER BY file_id
ON CONFLICT (file_id) DO UPDATE SET drive_id = excluded.drive_id, name = excluded.name, mime_type = excluded.mime_type,
  parents = excluded.parents, trashed = excluded.trashed, version = excluded.version, md5_checksum = excluded.md5_checksum,
  head_revision_id = excluded.head_revision_id, size = excluded.size, modified_at = excluded.modified_at,
  web_view_link = excluded.web_view_link, created_at = excluded.created_at, description = excluded.description, owners = excluded.owners,
  owner_names = excluded.owner_names, shared = excluded.shared, shortcut_target_id = excluded.shortcut_target_id,
  shortcut_target_mime_type = excluded.shortcut_target_mime_type, raw = excluded.raw, deleted_at = NULL, synced_at = now(), changed_xid = DEFAULT
WHERE excluded.version > coalesce(f.version, 0)
  OR (excluded.version >= f.version AND (f.deleted_at IS NOT NULL OR (f.created_at IS NULL AND excluded.created_at IS NOT NULL)))
