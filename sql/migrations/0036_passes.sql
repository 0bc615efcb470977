-- Classification of many documents at once: which part of a user's documents is to be looked at again, and how far that has come. One row instead of one
-- for each document, so that a word of a person, or another project, costs the same however many there are.
CREATE TABLE classify_passes (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  -- Documents are looked at in the order of their ids: up to this one it is done.
  looked_to uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  -- All documents on which no person has decided.
  everything boolean NOT NULL DEFAULT false,
  -- Those on which nothing has decided.
  undecided boolean NOT NULL DEFAULT false,
  -- Those that share thread, series, folder or sender with one of these.
  near uuid[] NOT NULL DEFAULT '{}'
);
CREATE INDEX documents_by_user ON documents (user_id, id);

-- When it was added, or opened again: what was undecided before is judged with it once more.
ALTER TABLE projects ADD COLUMN opened_at timestamptz NOT NULL DEFAULT now();
UPDATE projects SET opened_at = created_at;

-- Documents are ours, whatever becomes of the account.
UPDATE streams SET state = 'active', due_at = now() WHERE service = 'classify' AND state = 'revoked';
