-- Since when the token endpoint refuses an account, in a row; and when it may be asked again: soon, or of a revoked account rarely. NULL of a
-- revoked account: never, because it was ended on purpose.
ALTER TABLE accounts
  ADD COLUMN refused_at timestamptz,
  ADD COLUMN ask_at timestamptz;
CREATE INDEX accounts_ask ON accounts (ask_at) WHERE state = 'revoked' AND ask_at IS NOT NULL;

-- Those that are revoked already may have been by mistake.
UPDATE accounts SET refused_at = state_since, ask_at = now() + random() * interval '1 day'
WHERE state = 'revoked' AND state_reason IS DISTINCT FROM 'ended with `syncctl accounts revoke`; `syncctl accounts login` or an import brings it back';
