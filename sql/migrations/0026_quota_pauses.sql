-- Since when a project is paused, and when one call finds out whether it still has to be.
ALTER TABLE quota_pauses
  ADD COLUMN began_at timestamptz NOT NULL DEFAULT now(),
  ADD COLUMN probe_at timestamptz NOT NULL DEFAULT now() + interval '15 minutes';

-- Streams waited for the end of the day one by one; now they wait with their project, and are due as soon as it is not paused any more.
UPDATE streams SET due_at = now() WHERE failed_class = 'daily_quota' AND due_at > now();
