-- Runs of jobs that are of no service (deliveries, tidying, reports) have no row but this one: why they failed, and what they did.
ALTER TABLE runs ADD COLUMN error_message text, ADD COLUMN summary jsonb;

-- An account that was ended here, on purpose, is no account that the provider refuses. `client_id`: of the service account that acts for the user,
-- which an administrator enters to allow it; NULL until the credentials are next opened or stored.
ALTER TABLE accounts DROP CONSTRAINT accounts_state_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_state_check CHECK (state IN ('active', 'revoked', 'ended'));
UPDATE accounts SET state = 'ended'
WHERE state = 'revoked' AND state_reason = 'ended with `syncctl accounts revoke`; `syncctl accounts login` or an import brings it back';
ALTER TABLE accounts ADD COLUMN client_id text;

-- The settings that a stream's last complete pass was made with, those that decide what is stored: `{"gmail.window": "\"7days\""}`; NULL: not noted.
-- `resync_asked_at`: when a complete pass was asked for that has not begun.
ALTER TABLE streams ADD COLUMN passed_with jsonb, ADD COLUMN resync_asked_at timestamptz;
