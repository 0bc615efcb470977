-- # Documents and projects
COMMENT ON TABLE documents IS 'What people and models read: addressed mail, followed files, transcripts. One row for each user who may read it.';
COMMENT ON COLUMN documents.id IS 'ID of the document; document_id in events.';
COMMENT ON COLUMN documents.user_id IS 'User who may read it (users.id).';
COMMENT ON COLUMN documents.source IS 'gmail, drive or attendee.';
COMMENT ON COLUMN documents.source_id IS 'gmail: user ID of the mailbox, a slash, and the message ID; drive: file ID; attendee: bot ID.';
COMMENT ON COLUMN documents.kind IS 'email, drive_share, invitation, file or transcript.';
COMMENT ON COLUMN documents.project_id IS 'Project: decided (projects.id), or named by drive_file_watches or meetings. NULL: none, or undecided.';
COMMENT ON COLUMN documents.title IS 'Subject, file name, or title of the meeting. NULL: none, or erased.';
COMMENT ON COLUMN documents.author IS 'Sender''s address, or name of the file''s last editor. NULL: a transcript, not known, or erased.';
COMMENT ON COLUMN documents.occurred_at IS 'When the mail was received, the file last modified, or the meeting to begin.';
COMMENT ON COLUMN documents.mime_type IS 'message/rfc822, the type of the file, or text/plain.';
COMMENT ON COLUMN documents.snippet IS 'First words of a mail or a transcript. NULL: a file, none, or erased.';
COMMENT ON COLUMN documents.body IS 'Text. NULL: it has none or it was not read (note says why), or it was erased.';
COMMENT ON COLUMN documents.details IS 'Fields of its source, such as attachments, parents, or speakers. {}: erased.';
COMMENT ON COLUMN documents.note IS 'What is missing, and why. NULL: nothing.';
COMMENT ON COLUMN documents.status IS 'active, updated, or deleted (at its source, or no longer visible to the user).';
COMMENT ON COLUMN documents.version IS 'Rises with each change of content or status.';
COMMENT ON COLUMN documents.content_hash IS 'SHA-256 of title, author, type, details and note, then that of the text. Empty: erased after retention.documents.';
COMMENT ON COLUMN documents.search IS 'Full-text index without stemming: title, author, and the first 100,000 characters of the text.';
COMMENT ON COLUMN documents.created_at IS 'When it was stored first.';
COMMENT ON COLUMN documents.updated_at IS 'When its content or status last changed here.';
COMMENT ON COLUMN documents.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE projects IS 'Users'' categories for documents.';
COMMENT ON COLUMN projects.id IS 'ID of the project; project_id in events.';
COMMENT ON COLUMN projects.user_id IS 'User to whom it belongs (users.id).';
COMMENT ON COLUMN projects.name IS 'Name, unique for the user.';
COMMENT ON COLUMN projects.description IS 'Description, as given. NULL: none.';
COMMENT ON COLUMN projects.keywords IS 'Words that are typical of its documents, as given.';
COMMENT ON COLUMN projects.people IS 'Addresses or names of people who work on it, as given.';
COMMENT ON COLUMN projects.status IS 'active, or closed: it gets no new documents.';
COMMENT ON COLUMN projects.created_at IS 'When it was added.';
COMMENT ON COLUMN projects.updated_at IS 'When it last changed.';
COMMENT ON COLUMN projects.opened_at IS 'When it was added or last reopened.';

COMMENT ON TABLE document_projects IS 'The decision in effect on each document. No row: undecided.';
COMMENT ON COLUMN document_projects.document_id IS 'Document (documents.id).';
COMMENT ON COLUMN document_projects.user_id IS 'User to whom the document belongs (users.id).';
COMMENT ON COLUMN document_projects.project_id IS 'Project (projects.id). NULL: it belongs to none of the user''s projects.';
COMMENT ON COLUMN document_projects.decided_by IS
  'human; kin (thread, series or folder), sender or model (learnt); endpoint (model endpoint); webhook (your program).';
COMMENT ON COLUMN document_projects.confidence IS 'From 0 to 1. NULL: a person decided.';
COMMENT ON COLUMN document_projects.reason IS 'Why it was decided. NULL: a person decided.';
COMMENT ON COLUMN document_projects.content_hash IS 'documents.content_hash when it was decided.';
COMMENT ON COLUMN document_projects.model_version IS 'project_models.version at that time. NULL: a person decided.';
COMMENT ON COLUMN document_projects.run IS 'Run that decided, as in runs.id. NULL: not decided by a run.';
COMMENT ON COLUMN document_projects.decided_at IS 'When it was decided.';

COMMENT ON TABLE project_corrections IS 'Every decision of a person on a document, in order. Rows are only added.';
COMMENT ON COLUMN project_corrections.id IS 'Rises in the order of the decisions of a user.';
COMMENT ON COLUMN project_corrections.document_id IS 'Document (documents.id).';
COMMENT ON COLUMN project_corrections.user_id IS 'User to whom the document belongs (users.id).';
COMMENT ON COLUMN project_corrections.action IS 'assigned; none (it belongs to none of the projects); unassigned (undecided again).';
COMMENT ON COLUMN project_corrections.project_id IS 'Project that was assigned (projects.id). NULL: another action.';
COMMENT ON COLUMN project_corrections.was_project_id IS 'Project before. NULL: none, or undecided.';
COMMENT ON COLUMN project_corrections.was_decided_by IS 'Who had decided before, as in document_projects.decided_by. NULL: undecided.';
COMMENT ON COLUMN project_corrections.at IS 'When it was decided.';

COMMENT ON TABLE project_models IS 'What was learnt from each user''s decisions.';
COMMENT ON COLUMN project_models.user_id IS 'User (users.id).';
COMMENT ON COLUMN project_models.version IS 'Rises with everything that is learnt.';
COMMENT ON COLUMN project_models.learnt_to IS 'Last decision that was learnt (project_corrections.id).';
COMMENT ON COLUMN project_models.learner IS 'Weights, and how often each way was right before it learnt; in syncctl''s own format.';
COMMENT ON COLUMN project_models.assignments IS 'Number of assignments that were learnt.';
COMMENT ON COLUMN project_models.projects IS 'Number of projects with assignments.';
COMMENT ON COLUMN project_models.threshold IS 'Confidence from which on the model decides, from 0 to 1. NULL: it does not decide.';
COMMENT ON COLUMN project_models.queued_at_assignments IS 'Number of assignments when all documents were last reviewed.';
COMMENT ON COLUMN project_models.learnt_at IS 'When it last learnt.';

COMMENT ON TABLE document_judgements IS 'Last result of classification for each document on which no person has decided.';
COMMENT ON COLUMN document_judgements.document_id IS 'Document (documents.id).';
COMMENT ON COLUMN document_judgements.user_id IS 'User to whom the document belongs (users.id).';
COMMENT ON COLUMN document_judgements.content_hash IS 'documents.content_hash of the text that was classified.';
COMMENT ON COLUMN document_judgements.model_version IS 'project_models.version that classified it.';
COMMENT ON COLUMN document_judgements.is_decided IS 'Whether it led to a decision (document_projects), or confirmed one.';
COMMENT ON COLUMN document_judgements.reason IS 'Why it was decided, or why not.';
COMMENT ON COLUMN document_judgements.candidates IS 'The model''s candidates, best first: [{project_id, confidence}]; project_id null: none of the projects.';
COMMENT ON COLUMN document_judgements.confidence IS 'Confidence of the best candidate, from 0 to 1. NULL: no candidate.';
COMMENT ON COLUMN document_judgements.judged_at IS 'When it was classified.';
COMMENT ON COLUMN document_judgements.asked_hash IS 'documents.content_hash for which the model endpoint has answered. NULL: it has not.';
COMMENT ON COLUMN document_judgements.ask_at IS 'When the model endpoint is asked. NULL: it is not.';
COMMENT ON COLUMN document_judgements.asks IS 'How often the model endpoint gave no usable answer.';
COMMENT ON COLUMN document_judgements.told_hash IS 'documents.content_hash of the last event document.undecided. NULL: none.';
COMMENT ON COLUMN document_judgements.offered IS 'IDs of the projects in that event; null among them: none of the projects. NULL: no event.';

COMMENT ON TABLE classify_queue IS 'Documents that wait for classification, of users with projects.';
COMMENT ON COLUMN classify_queue.document_id IS 'Document (documents.id).';
COMMENT ON COLUMN classify_queue.user_id IS 'User to whom the document belongs (users.id).';

COMMENT ON TABLE classify_passes IS 'Reviews of many documents of a user, with their progress. The conditions are united.';
COMMENT ON COLUMN classify_passes.user_id IS 'User (users.id).';
COMMENT ON COLUMN classify_passes.looked_to IS 'Documents are reviewed in the order of their IDs: done up to this one.';
COMMENT ON COLUMN classify_passes.everything IS 'Review all documents on which no person has decided.';
COMMENT ON COLUMN classify_passes.undecided IS 'Review documents without any decision.';
COMMENT ON COLUMN classify_passes.near IS 'Review documents that share thread, series, folder or sender with one of these documents.';
