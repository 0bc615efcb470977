-- A service can be switched off for one user: its streams are not polled. `granted`: the scopes that a person's grant held when it was first
-- asked with, separated by spaces; what is missing in it was never granted.
ALTER TABLE streams DROP CONSTRAINT streams_state_check;
ALTER TABLE streams ADD CONSTRAINT streams_state_check
  CHECK (state IN ('active', 'stopped', 'degraded', 'revoked', 'removed', 'off'));
ALTER TABLE accounts ADD COLUMN granted text;
