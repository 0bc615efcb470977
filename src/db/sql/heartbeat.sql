-- Extends a run's row, lock and leases.
-- Skips streams that are being written: the writer renews or releases the lease, and waiting for one stream while holding others could deadlock two
-- statements of the same run.
-- $1 run, $2 seconds, $3 streams that it holds, $4 progress. Returns whether it still holds its job's lock.
WITH lock AS (
  UPDATE job_locks SET held_until = now() + make_interval(secs => $2) WHERE run_id = $1 RETURNING job
), free AS (
  SELECT id FROM streams WHERE id = ANY ($3) AND claimed_by = $1 AND claimed_until > now() FOR UPDATE SKIP LOCKED
), leases AS (
  UPDATE streams s SET claimed_until = now() + make_interval(secs => $2) FROM free WHERE s.id = free.id
), alive AS (
  UPDATE runs SET alive_until = now() + make_interval(secs => $2), progress = $4::jsonb WHERE id = $1 AND status = 'running'
)
SELECT EXISTS (SELECT FROM lock)
