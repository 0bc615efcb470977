-- More of each file. Rows of earlier versions have no created_at; the full pass that is due below fills them.
ALTER TABLE drive_files
  ADD COLUMN created_at timestamptz,
  -- Cut after 4,000 characters.
  ADD COLUMN description text,
  -- Addresses in lower case; an element is NULL if Google does not show the address. No list: the file belongs to a shared drive.
  ADD COLUMN owners text[],
  -- In the order of `owners`.
  ADD COLUMN owner_names text[],
  -- Shared with anyone besides its owner. NULL: in a shared drive, whose items are not marked.
  ADD COLUMN shared boolean,
  ADD COLUMN shortcut_target_id text,
  ADD COLUMN shortcut_target_mime_type text;

-- What Google says to this user only.
ALTER TABLE drive_file_access
  ADD COLUMN owned_by_me boolean,
  ADD COLUMN starred boolean,
  -- How much of the file's permissions is in drive_permissions: all; some (there were too many); only their ids, as in shared drives; or none, because
  -- the user may not share the file. NULL: not read since there are permissions, or the user no longer sees the file.
  ADD COLUMN permissions_known text CHECK (permissions_known IN ('all', 'some', 'ids', 'none'));

-- Who may do what with a file, as this user sees it. No foreign keys: the writer of a page holds the stream's row.
CREATE TABLE drive_permissions (
  user_id uuid NOT NULL,
  stream_id bigint NOT NULL,
  file_id text NOT NULL,
  -- Google's, the same for a grantee in all files.
  permission_id text NOT NULL,
  -- user, group, domain or anyone. NULL, like all columns below: only the id is known.
  type text,
  -- owner, organizer, fileOrganizer, writer, commenter or reader.
  role text,
  -- Of a user or a group, in lower case.
  email text,
  -- Of a domain, in lower case.
  domain text,
  display_name text,
  -- Of a domain or of anyone: the file is found by search, not only by its link.
  allow_file_discovery boolean,
  expires_at timestamptz,
  -- The account no longer exists.
  deleted boolean NOT NULL DEFAULT false,
  pending_owner boolean NOT NULL DEFAULT false,
  -- Only inherited from a folder, and not given directly as well.
  inherited boolean,
  PRIMARY KEY (user_id, stream_id, file_id, permission_id)
);

CREATE OR REPLACE FUNCTION syncctl_forget_drive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM drive_permissions WHERE user_id = OLD.user_id AND stream_id = OLD.id;
  DELETE FROM drive_file_access WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;

-- The folders of each file that a user sees, up to the topmost one that this user sees; a folder that contains itself ends the path.
CREATE VIEW drive_paths AS
SELECT a.user_id, a.stream_id, a.file_id, d.name AS drive, p.path, p.ids, p.parent AS top_id
FROM drive_file_access a
CROSS JOIN LATERAL (
  WITH RECURSIVE up AS (
    SELECT a.parents[1] AS parent, ARRAY[a.file_id] AS ids, '/' || coalesce(a.name, a.file_id) AS path
    UNION ALL
    SELECT folder.parents[1], folder.file_id || up.ids, '/' || coalesce(folder.name, folder.file_id) || up.path
    FROM up JOIN drive_file_access folder ON folder.stream_id = a.stream_id AND folder.file_id = up.parent
    WHERE folder.lost_at IS NULL AND cardinality(up.ids) <= 100 AND folder.file_id <> ALL (up.ids)
  )
  SELECT up.parent, up.ids, up.path FROM up ORDER BY cardinality(up.ids) DESC LIMIT 1
) AS p
LEFT JOIN drives d ON d.user_id = a.user_id AND d.drive_id = p.parent AND d.deleted_at IS NULL
WHERE a.lost_at IS NULL;

-- Permissions that reach beyond the domain of the user who sees them: links, other domains, addresses of other domains, and accounts whose address
-- Google does not show. Owners are left out: a file of an outsider is not shared with its owner.
CREATE VIEW drive_shared_outside AS
SELECT p.user_id, u.email AS user_email, p.stream_id, p.file_id, a.name, f.mime_type, f.web_view_link, f.owners, a.owned_by_me, a.trashed,
  CASE p.type WHEN 'anyone' THEN 'link' WHEN 'domain' THEN 'domain' ELSE 'address' END AS shared_by,
  coalesce(p.email, p.domain) AS shared_with, p.permission_id, p.display_name, p.role, p.allow_file_discovery, p.expires_at, p.inherited
FROM drive_permissions p
JOIN users u ON u.id = p.user_id
JOIN drive_file_access a ON a.stream_id = p.stream_id AND a.file_id = p.file_id AND a.lost_at IS NULL
JOIN drive_files f ON f.file_id = p.file_id
WHERE p.type IS NOT NULL AND p.role <> 'owner' AND NOT p.deleted AND (p.expires_at IS NULL OR p.expires_at > now())
  AND (p.type = 'anyone' OR CASE p.type WHEN 'domain' THEN p.domain ELSE substring(p.email FROM '[^@]*$') END
    IS DISTINCT FROM lower(substring(u.email FROM '[^@]*$')));

-- A reader of a view needs the rights on its tables. PostgreSQL 14 has no such option.
DO $$
BEGIN
  IF current_setting('server_version_num')::int >= 150000 THEN
    ALTER VIEW drive_paths SET (security_invoker = true);
    ALTER VIEW drive_shared_outside SET (security_invoker = true);
  END IF;
END
$$;

-- The next poll of each feed lists everything once.
UPDATE streams SET full_pass_at = 'epoch' WHERE service = 'drive' AND kind = 'changes' AND full_pass_at IS NOT NULL;
