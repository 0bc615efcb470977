-- Projects of a user, and which of them a document belongs to.
CREATE TABLE projects (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  name text NOT NULL CHECK (name <> ''),
  description text,
  keywords text[] NOT NULL DEFAULT '{}',
  people text[] NOT NULL DEFAULT '{}',
  -- Nothing is assigned to a closed project; what was stays.
  status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed')),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (user_id, name)
);

-- The decision that holds for a document. No row: undecided.
CREATE TABLE document_projects (
  document_id uuid PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  -- NULL: it belongs to none of the user's projects.
  project_id uuid REFERENCES projects ON DELETE CASCADE,
  decided_by text NOT NULL CHECK (decided_by IN ('human', 'kin', 'sender', 'model', 'endpoint')),
  -- From 0 to 1. NULL: a person's word.
  confidence real CHECK (confidence BETWEEN 0 AND 1),
  reason text,
  -- documents.content_hash when it was decided.
  content_hash bytea NOT NULL,
  model_version int,
  run uuid,
  decided_at timestamptz NOT NULL DEFAULT now(),
  CHECK (decided_by <> 'human' OR confidence IS NULL)
);
CREATE INDEX document_projects_by_project ON document_projects (project_id);
CREATE INDEX document_projects_by_user ON document_projects (user_id, decided_at);

-- Every word of a person, in the order they came. Rows are only added.
CREATE TABLE project_corrections (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  document_id uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  action text NOT NULL CHECK (action IN ('assigned', 'none', 'unassigned')),
  project_id uuid,
  -- What held before.
  was_project_id uuid,
  was_decided_by text,
  at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX project_corrections_by_document ON project_corrections (document_id);
CREATE INDEX project_corrections_by_user ON project_corrections (user_id, id);
