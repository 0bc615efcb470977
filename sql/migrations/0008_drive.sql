CREATE TABLE drives (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  drive_id text NOT NULL,
  name text,
  raw jsonb NOT NULL,
  seen_pass bigint,
  deleted_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, drive_id)
);

-- A file once, however many users see it; the newest version that any of their feeds told.
CREATE TABLE drive_files (
  file_id text PRIMARY KEY,
  drive_id text,
  name text,
  mime_type text,
  parents text[] NOT NULL DEFAULT '{}',
  trashed boolean NOT NULL DEFAULT false,
  version bigint,
  md5_checksum text,
  head_revision_id text,
  size bigint,
  modified_at timestamptz,
  web_view_link text,
  raw jsonb NOT NULL,
  -- Set when the last user who saw it does not any more.
  gone_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now()
);

-- Who sees a file through which feed, and what that feed told of it last: changes are told apart against this, for each user on their own.
CREATE TABLE drive_file_access (
  stream_id bigint NOT NULL,
  file_id text NOT NULL,
  user_id uuid NOT NULL,
  name text,
  parents text[] NOT NULL DEFAULT '{}',
  trashed boolean NOT NULL DEFAULT false,
  version bigint,
  -- What moves with the content: checksum, revision, or of Google's own formats the version.
  content_key text NOT NULL,
  seen_pass bigint,
  lost_at timestamptz,
  synced_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream_id, file_id)
);
CREATE INDEX drive_file_access_file ON drive_file_access (file_id, user_id);

-- Which user follows which file. `document_id`, `project_id`: as whoever asked for it knows them. `told_version`, `content_key`: of the
-- file that the document was last made of; without them the next poll makes it, changed or not.
CREATE TABLE drive_file_watches (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  file_id text NOT NULL,
  document_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
  project_id uuid,
  told_version bigint,
  content_key text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, file_id)
);
CREATE INDEX drive_file_watches_file ON drive_file_watches (file_id);

CREATE FUNCTION syncctl_forget_drive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM drive_file_access WHERE stream_id = OLD.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER forget_drive AFTER DELETE ON streams FOR EACH ROW WHEN (OLD.service = 'drive') EXECUTE FUNCTION syncctl_forget_drive();

INSERT INTO streams (user_id, service, kind, resource) SELECT user_id, 'drive', 'drive_list', '' FROM accounts ON CONFLICT DO NOTHING;
