-- Upserts messages. Unchanged rows are not rewritten, except to stamp them with a full pass.
-- $1 stream, $2 user, $3 pass (NULL: incremental), $4… one array per column; lists as JSON
INSERT INTO gmail_messages AS m (stream_id, user_id, seen_pass, message_id, thread_id, history_id, labels, received_at, sent_at, from_address,
  from_name, to_addresses, cc_addresses, subject, snippet, size_estimate, rfc822_message_id, headers, body, attachments, note, html)
SELECT $1, $2, $3, message_id, thread_id, history_id, ARRAY(SELECT jsonb_array_elements_text(labels)), received_at, sent_at, from_address,
  from_name, ARRAY(SELECT jsonb_array_elements_text(to_addresses)), ARRAY(SELECT jsonb_array_elements_text(cc_addresses)), subject, snippet,
  size_estimate, rfc822_message_id, headers, body, attachments, note, html
FROM unnest($4::text[], $5::text[], $6::bigint[], $7::jsonb[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[],
  $12::jsonb[], $13::jsonb[], $14::text[], $15::text[], $16::bigint[], $17::text[], $18::jsonb[], $19::text[], $20::jsonb[], $21::text[], $22::text[])
  AS t (message_id, thread_id, history_id, labels, received_at, sent_at, from_address, from_name, to_addresses, cc_addresses, subject,
    snippet, size_estimate, rfc822_message_id, headers, body, attachments, note, html)
ON CONFLICT (stream_id, message_id) DO UPDATE SET
  seen_pass = coalesce(excluded.seen_pass, m.seen_pass), thread_id = excluded.thread_id, history_id = excluded.history_id,
  labels = excluded.labels, received_at = excluded.received_at, sent_at = excluded.sent_at, from_address = excluded.from_address,
  from_name = excluded.from_name, to_addresses = excluded.to_addresses, cc_addresses = excluded.cc_addresses, subject = excluded.subject,
  snippet = excluded.snippet, size_estimate = excluded.size_estimate, rfc822_message_id = excluded.rfc822_message_id,
  headers = excluded.headers, body = coalesce(excluded.body, m.body), attachments = coalesce(excluded.attachments, m.attachments),
  note = excluded.note, html = coalesce(excluded.html, m.html), deleted_at = NULL,
  synced_at = CASE WHEN m.history_id = excluded.history_id AND m.deleted_at IS NULL THEN m.synced_at ELSE now() END,
  -- A full pass can read more of an unchanged message than was stored.
  changed_xid = CASE WHEN m.history_id = excluded.history_id AND m.deleted_at IS NULL AND (m.thread_id, m.labels, m.received_at, m.sent_at,
      m.from_address, m.from_name, m.to_addresses, m.cc_addresses, m.subject, m.snippet, m.size_estimate, m.rfc822_message_id, m.headers, m.body,
      m.attachments, m.note, m.html) IS NOT DISTINCT FROM (excluded.thread_id, excluded.labels, excluded.received_at, excluded.sent_at, excluded.from_address,
      excluded.from_name, excluded.to_addresses, excluded.cc_addresses, excluded.subject, excluded.snippet, excluded.size_estimate,
      excluded.rfc822_message_id, excluded.headers, coalesce(excluded.body, m.body), coalesce(excluded.attachments, m.attachments), excluded.note,
      coalesce(excluded.html, m.html))
    THEN m.changed_xid ELSE excluded.changed_xid END
-- A full pass gives the current state, whatever its history id.
WHERE (m.history_id IS NULL OR excluded.history_id IS NULL OR excluded.history_id >= m.history_id OR excluded.seen_pass IS NOT NULL)
  AND (m.history_id IS DISTINCT FROM excluded.history_id OR m.history_id IS NULL OR m.deleted_at IS NOT NULL
       OR (excluded.seen_pass IS NOT NULL AND m.seen_pass IS DISTINCT FROM excluded.seen_pass))
RETURNING
  -- now() is the time of this transaction, so a row that was only stamped keeps an older synced_at.
  CASE WHEN m.xmax = 0 THEN 'created' WHEN m.synced_at = now() THEN 'updated' ELSE 'unchanged' END AS outcome
