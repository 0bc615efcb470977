-- Follows files; returns the positions of those refused because their document belongs to another file.
-- $1 users, $2 files, $3 documents, $4 projects, $5 service, $6 kind of feed, $7 resource of the feed that every user has
WITH requested AS (
  SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[]) WITH ORDINALITY AS t (user_id, file_id, document_id, project_id, place)
), refused AS (
  SELECT place FROM requested t
  WHERE EXISTS (SELECT 1 FROM drive_file_watches w WHERE w.document_id = t.document_id AND (w.user_id, w.file_id) <> (t.user_id, t.file_id))
    OR EXISTS (SELECT 1 FROM documents d WHERE d.id = t.document_id AND (d.user_id, d.source, d.source_id) <> (t.user_id, $5, t.file_id))
), accepted AS (
  SELECT * FROM requested WHERE place NOT IN (SELECT place FROM refused)
), added AS (
  INSERT INTO drive_file_watches AS w (user_id, file_id, document_id, project_id)
  SELECT user_id, file_id, coalesce(document_id, gen_random_uuid()), project_id FROM accepted
  ON CONFLICT (user_id, file_id) DO UPDATE
  SET document_id = coalesce((SELECT a.document_id FROM accepted a WHERE a.user_id = w.user_id AND a.file_id = w.file_id), w.document_id),
    project_id = coalesce(excluded.project_id, w.project_id)
), feeds AS (
  -- A file can be requested before its user's drives have been listed.
  INSERT INTO streams (user_id, service, kind, resource) SELECT DISTINCT user_id, $5, $6, $7 FROM accepted ON CONFLICT DO NOTHING
), due AS (
  UPDATE streams s SET due_at = now() FROM accepted t JOIN drive_file_access a ON a.file_id = t.file_id AND a.user_id = t.user_id
  WHERE s.id = a.stream_id AND a.deleted_at IS NULL AND s.due_at > now()
)
SELECT place FROM refused
