CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  email text NOT NULL,
  username text,
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));
CREATE UNIQUE INDEX users_username ON users (lower(username));

-- `credentials` and `access_token` are sealed: see the seal settings.
CREATE TABLE accounts (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  kind text NOT NULL CHECK (kind IN ('authorized_user', 'service_account')),
  project text NOT NULL,
  credentials bytea NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'revoked')),
  state_reason text,
  state_since timestamptz NOT NULL DEFAULT now(),
  imported_at timestamptz NOT NULL DEFAULT now(),
  access_token bytea,
  token_expires_at timestamptz,
  refreshing_by uuid,
  refreshing_until timestamptz
);
