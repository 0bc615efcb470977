-- Times of the changes since $1, by drive, in ascending order. Only the last change of each file is known.
SELECT array_agg(f.modified_at ORDER BY f.modified_at) FILTER (WHERE f.modified_at >= $1 AND f.modified_at < now())
FROM streams s LEFT JOIN drive_file_access a ON a.stream_id = s.id LEFT JOIN drive_files f ON f.file_id = a.file_id
WHERE s.service = 'drive' AND s.kind = 'changes' AND s.state <> 'removed'
GROUP BY s.id ORDER BY s.id
