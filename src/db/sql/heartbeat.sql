-- Says that a run lives: its row, its lock and its leases hold for another while.
-- A stream that is being written is passed over: who writes it renews the lease or gives it back, and to wait for one while others are held is
-- how two statements of one run come to wait for each other.
-- $1 run, $2 seconds, $3 streams that it holds, $4 what it is doing; answers whether a job's lock is still its
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
