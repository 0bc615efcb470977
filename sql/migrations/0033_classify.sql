-- Classification: which documents are to be judged, what was learnt of each user's words, and what came of it.

-- Documents to judge: new ones, changed ones, and those of which a model that has learnt more may think otherwise. Only of users with projects.
CREATE TABLE classify_queue (
  document_id uuid PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE
);
CREATE INDEX classify_queue_by_user ON classify_queue (user_id, document_id);

CREATE TABLE project_models (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  -- Rises with everything that is learnt.
  version int NOT NULL,
  -- The last of project_corrections that was learnt.
  learnt_to bigint NOT NULL,
  -- Weights, and how often each way was right before it learnt; in the form of the version that it begins with.
  learner bytea NOT NULL,
  assignments int NOT NULL,
  projects int NOT NULL,
  -- The confidence from which on the model decides. NULL: it has none.
  threshold real,
  -- Assignments when all documents were last queued again.
  queued_at_assignments int NOT NULL,
  learnt_at timestamptz NOT NULL DEFAULT now()
);

-- What was last thought of a document that no person has decided on.
CREATE TABLE document_judgements (
  document_id uuid PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  -- documents.content_hash and project_models.version that it holds for.
  content_hash bytea NOT NULL,
  model_version int NOT NULL,
  is_decided boolean NOT NULL,
  reason text NOT NULL,
  -- The model's candidates, the best first: [{"project_id": uuid or null, "confidence": number}].
  candidates jsonb NOT NULL,
  -- Of the best candidate.
  confidence real,
  judged_at timestamptz NOT NULL DEFAULT now(),
  -- documents.content_hash for which the model endpoint has answered: it is not asked about that again.
  asked_hash bytea,
  -- When the endpoint is to be asked, and how often it gave no answer that could be used.
  ask_at timestamptz,
  asks int NOT NULL DEFAULT 0
);
CREATE INDEX document_judgements_to_ask ON document_judgements (ask_at) WHERE ask_at IS NOT NULL;
CREATE INDEX document_judgements_undecided ON document_judgements (user_id, confidence DESC NULLS LAST) WHERE NOT is_decided;

CREATE TABLE classify_cron_results (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  execution_id text NOT NULL,
  start_time timestamptz,
  end_time timestamptz,
  total_users int,
  successful_polls int,
  failed_polls int,
  total_processing_time_ms int,
  status text,
  error_message text,
  timestamp timestamptz DEFAULT now()
);
CREATE INDEX classify_cron_results_execution ON classify_cron_results (execution_id);
CREATE INDEX classify_cron_results_by_time ON classify_cron_results (start_time);
CREATE TABLE classify_cron_metrics (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  execution_id text NOT NULL,
  successful_polls int,
  failed_polls int,
  total_processing_time_ms int,
  timestamp timestamptz DEFAULT now()
);
CREATE INDEX classify_cron_metrics_by_time ON classify_cron_metrics (timestamp);
CREATE TABLE classify_cron_summaries (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  summary_data jsonb,
  timestamp timestamptz DEFAULT now()
);
CREATE INDEX classify_cron_summaries_by_time ON classify_cron_summaries (timestamp);

-- Whoever has projects already.
INSERT INTO streams (user_id, service, kind, resource) SELECT DISTINCT user_id, 'classify', 'documents', '' FROM projects;
INSERT INTO classify_queue (document_id, user_id)
SELECT d.id, d.user_id FROM documents d WHERE d.user_id IN (SELECT user_id FROM projects) AND d.status <> 'deleted';
