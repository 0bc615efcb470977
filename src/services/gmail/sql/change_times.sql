-- The messages since $1 of each mailbox, in order. The times of label changes are not known.
SELECT array_agg(m.received_at ORDER BY m.received_at) FILTER (WHERE m.received_at >= $1 AND m.received_at < now())
FROM streams s LEFT JOIN gmail_messages m ON m.stream_id = s.id
WHERE s.service = 'gmail' AND s.kind = 'mailbox' AND s.state <> 'removed'
GROUP BY s.id ORDER BY s.id
