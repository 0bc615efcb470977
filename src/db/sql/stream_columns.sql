-- The columns of a stream `s` and its account `a` that claims.rs reads by index.
s.id, coalesce(s.user_id, s.attendee_project), s.kind, s.resource, s.cursor, s.page_token, s.pinned, s.pass, s.pass_count, s.full_pass_at,
CASE WHEN s.failures > 0 THEN coalesce(extract(epoch FROM now() - s.failing_since), 0) ELSE 0 END::float8 AS failing_for, s.change_mass, s.change_mass_at, s.weight,
CASE WHEN s.resync_day = current_date THEN s.resyncs ELSE 0 END AS resyncs_today,
coalesce(a.project, s.attendee_project::text, ''), a.access_token, extract(epoch FROM a.token_expires_at - now())::float8 AS token_seconds,
extract(epoch FROM s.push_until - now())::float8 AS push_left, s.weight_at, s.change_since, s.change_shape, s.push_missed
