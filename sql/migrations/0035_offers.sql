-- Undecided documents that programs are told of (document.undecided), and what they decide.
ALTER TABLE document_judgements
  -- documents.content_hash for which the event was written: each text is told once.
  ADD told_hash bytea,
  -- The ids of the projects that it offered; null among them: "none of them" too.
  ADD offered jsonb;

ALTER TABLE document_projects
  DROP CONSTRAINT document_projects_decided_by_check,
  ADD CONSTRAINT document_projects_decided_by_check CHECK (decided_by IN ('human', 'kin', 'sender', 'model', 'endpoint', 'webhook'));
