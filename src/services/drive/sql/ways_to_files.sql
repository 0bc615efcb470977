-- File, user and feed to request files by: for each user who follows the file or, without followers, for one user who sees it. The feed is
-- one that shows the file, or else one that did, or else My Drive.
-- $1 files, $2 service, $3 kind of feed, $4 resource of the feed that every user has
WITH readers AS (
  SELECT file_id, user_id FROM drive_file_watches WHERE file_id = ANY ($1)
  UNION ALL
  (SELECT DISTINCT ON (a.file_id) a.file_id, a.user_id FROM drive_file_access a
   WHERE a.file_id = ANY ($1) AND a.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM drive_file_watches w WHERE w.file_id = a.file_id)
   ORDER BY a.file_id, a.user_id)
)
SELECT r.file_id, r.user_id, s.id
FROM readers r CROSS JOIN LATERAL (
  SELECT s.id FROM streams s LEFT JOIN drive_file_access a ON a.stream_id = s.id AND a.file_id = r.file_id
  WHERE s.user_id = r.user_id AND s.service = $2 AND s.kind = $3 AND s.state <> 'removed' AND (a.file_id IS NOT NULL OR s.resource = $4)
  ORDER BY a.deleted_at IS NULL AND a.file_id IS NOT NULL DESC, a.file_id IS NOT NULL DESC
  LIMIT 1
) s
ORDER BY r.file_id, r.user_id
