-- # Mail
COMMENT ON TABLE gmail_messages IS
  'Messages of each mailbox within gmail.window (messages.get, history.list). Only those that gmail.store names have a body.';
COMMENT ON COLUMN gmail_messages.stream_id IS 'Feed of the mailbox (streams.id).';
COMMENT ON COLUMN gmail_messages.message_id IS 'messages: id. Unique within the mailbox.';
COMMENT ON COLUMN gmail_messages.user_id IS 'Owner of the mailbox (users.id).';
COMMENT ON COLUMN gmail_messages.thread_id IS 'messages: threadId.';
COMMENT ON COLUMN gmail_messages.history_id IS 'Last change that is in the row. messages: historyId.';
COMMENT ON COLUMN gmail_messages.labels IS 'IDs of its labels, sorted; gmail_labels has their names. messages: labelIds.';
COMMENT ON COLUMN gmail_messages.unread IS 'Whether it has the label UNREAD.';
COMMENT ON COLUMN gmail_messages.received_at IS 'When Gmail received it. messages: internalDate.';
COMMENT ON COLUMN gmail_messages.sent_at IS 'Date header. NULL: missing, or not a date.';
COMMENT ON COLUMN gmail_messages.from_address IS 'First address of the From header. NULL: it has none.';
COMMENT ON COLUMN gmail_messages.from_name IS 'Name of the sender in the From header, decoded. NULL: it has none.';
COMMENT ON COLUMN gmail_messages.to_addresses IS 'Addresses of the To headers, at most 2,000.';
COMMENT ON COLUMN gmail_messages.cc_addresses IS 'Addresses of the Cc headers, at most 2,000.';
COMMENT ON COLUMN gmail_messages.subject IS 'First Subject header, decoded. NULL: it has none.';
COMMENT ON COLUMN gmail_messages.snippet IS 'First words of the text, as plain text. messages: snippet.';
COMMENT ON COLUMN gmail_messages.size_estimate IS 'Bytes. messages: sizeEstimate.';
COMMENT ON COLUMN gmail_messages.rfc822_message_id IS 'Message-ID header. NULL: it has none.';
COMMENT ON COLUMN gmail_messages.headers IS 'All headers in their order: [[name, value], …], at most 1,000 and 1 MiB. messages: payload.headers.';
COMMENT ON COLUMN gmail_messages.body IS 'Text; HTML is converted. messages: raw. NULL: not fetched in full, or without text.';
COMMENT ON COLUMN gmail_messages.html IS
  'HTML of the text, in UTF-8, at most 1 MiB. messages: raw. NULL: not fetched in full, without HTML, or gmail.html was not set.';
COMMENT ON COLUMN gmail_messages.attachments IS '[{name, mime_type, size}]; size in bytes when decoded. NULL: not fetched in full.';
COMMENT ON COLUMN gmail_messages.note IS 'What could not be read, or was left out. NULL: nothing.';
COMMENT ON COLUMN gmail_messages.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: only changes did.';
COMMENT ON COLUMN gmail_messages.deleted_at IS 'When its deletion was found; moving to the trash is none. NULL: it exists.';
COMMENT ON COLUMN gmail_messages.synced_at IS 'When its content or its labels last changed here.';
COMMENT ON COLUMN gmail_messages.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE gmail_attachments IS
  'Attachments of messages that were fetched in full while gmail.attachments included any: which of them are stored, and why others are not.';
COMMENT ON COLUMN gmail_attachments.stream_id IS 'Feed of the mailbox (streams.id).';
COMMENT ON COLUMN gmail_attachments.message_id IS 'Message (gmail_messages.message_id).';
COMMENT ON COLUMN gmail_attachments.position IS 'From 1, in the order of gmail_messages.attachments.';
COMMENT ON COLUMN gmail_attachments.user_id IS 'Owner of the mailbox (users.id).';
COMMENT ON COLUMN gmail_attachments.name IS 'File name as sent: it can contain slashes, and several can be equal. NULL: it has none.';
COMMENT ON COLUMN gmail_attachments.mime_type IS 'MIME type as sent, in lower case.';
COMMENT ON COLUMN gmail_attachments.size IS 'Bytes when decoded.';
COMMENT ON COLUMN gmail_attachments.content_id IS 'Content-ID header, by which HTML refers to it (cid:). NULL: it has none.';
COMMENT ON COLUMN gmail_attachments.inline IS 'Whether it is shown within the text: Content-Disposition is inline, or is missing and there is a Content-ID.';
COMMENT ON COLUMN gmail_attachments.sha256 IS 'SHA-256 of its content (gmail_contents.sha256). NULL: not stored.';
COMMENT ON COLUMN gmail_attachments.not_stored IS
  'excluded (by gmail.attachments), too_large (gmail.attachment_max_size) or unreadable (damaged or unknown transfer encoding). NULL: stored.';
COMMENT ON COLUMN gmail_attachments.deleted_at IS 'When the deletion of its message was found. NULL: the message exists.';

COMMENT ON TABLE gmail_contents IS 'Contents of attachments, each once for a user.';
COMMENT ON COLUMN gmail_contents.user_id IS 'Owner of the mailbox (users.id).';
COMMENT ON COLUMN gmail_contents.sha256 IS 'SHA-256 of the content.';
COMMENT ON COLUMN gmail_contents.size IS 'Bytes.';
COMMENT ON COLUMN gmail_contents.content IS 'The bytes, as decoded. messages: raw.';
COMMENT ON COLUMN gmail_contents.unused_at IS 'Since when no existing message has it. NULL: one has.';

COMMENT ON TABLE gmail_labels IS 'Labels of each mailbox (labels.list, labels.get): Gmail''s own and those of users.';
COMMENT ON COLUMN gmail_labels.stream_id IS 'Feed of the mailbox (streams.id).';
COMMENT ON COLUMN gmail_labels.label_id IS 'labels: id. Unique within the mailbox.';
COMMENT ON COLUMN gmail_labels.user_id IS 'Owner of the mailbox (users.id).';
COMMENT ON COLUMN gmail_labels.name IS 'labels: name. Nested ones contain slashes: Parent/Child. NULL: a message bears the label, and it is not listed yet.';
COMMENT ON COLUMN gmail_labels.kind IS 'system (Gmail''s own) or user. labels: type.';
COMMENT ON COLUMN gmail_labels.text_color IS '#rrggbb. labels: color.textColor. NULL: none is set.';
COMMENT ON COLUMN gmail_labels.background_color IS '#rrggbb. labels: color.backgroundColor. NULL: none is set.';
COMMENT ON COLUMN gmail_labels.label_list_visibility IS 'labelShow, labelShowIfUnread or labelHide. labels: labelListVisibility. NULL: not sent.';
COMMENT ON COLUMN gmail_labels.message_list_visibility IS 'show or hide. labels: messageListVisibility. NULL: not sent.';
COMMENT ON COLUMN gmail_labels.deleted_at IS 'When its deletion was found. NULL: it exists.';
COMMENT ON COLUMN gmail_labels.synced_at IS 'When the row last changed.';
COMMENT ON COLUMN gmail_labels.removed_to IS 'A deleted label is being removed from messages, by ID, up to this one. NULL: complete, or not deleted.';

COMMENT ON TABLE gmail_mailboxes IS 'When the labels of each mailbox were listed, and why that fails.';
COMMENT ON COLUMN gmail_mailboxes.stream_id IS 'Feed of the mailbox (streams.id).';
COMMENT ON COLUMN gmail_mailboxes.user_id IS 'Owner of the mailbox (users.id).';
COMMENT ON COLUMN gmail_mailboxes.labels_listed_at IS 'When the labels were last listed. NULL: not since the table was added.';
COMMENT ON COLUMN gmail_mailboxes.labels_failing_since IS 'Since when the labels, or only their colours, cannot be listed. NULL: they can.';
COMMENT ON COLUMN gmail_mailboxes.labels_failed_class IS 'Class of the last failure, as in streams.failed_class. NULL: the last attempt succeeded.';
COMMENT ON COLUMN gmail_mailboxes.labels_failed_message IS 'Message of the last failure; its method says what failed. NULL: the last attempt succeeded.';

COMMENT ON VIEW gmail_messages_by_label IS 'Messages by the names of their labels: one row for each message and label, without deleted ones.';
COMMENT ON COLUMN gmail_messages_by_label.email IS 'Address of the mailbox''s owner.';
COMMENT ON COLUMN gmail_messages_by_label.label IS 'Name of the label, or its ID as long as the name is not known.';
COMMENT ON COLUMN gmail_messages_by_label.label_kind IS 'system (Gmail''s own) or user.';

COMMENT ON VIEW gmail_threads IS 'Threads, as far as their messages are stored.';
COMMENT ON COLUMN gmail_threads.email IS 'Address of the mailbox''s owner.';
COMMENT ON COLUMN gmail_threads.subject IS 'Subject of the first message.';
COMMENT ON COLUMN gmail_threads.first_at IS 'When the first message was received.';
COMMENT ON COLUMN gmail_threads.last_at IS 'When the last message was received.';
COMMENT ON COLUMN gmail_threads.messages IS 'Number of messages.';
COMMENT ON COLUMN gmail_threads.unread IS 'Number of unread messages.';
COMMENT ON COLUMN gmail_threads.last_from_address IS 'Sender of the last message. NULL: not known.';
COMMENT ON COLUMN gmail_threads.last_from_name IS 'Name of the sender of the last message. NULL: none.';

COMMENT ON TABLE gmail_detections IS 'Virtual addresses (gmail.virtual_address) that messages were sent to, each once per message.';
COMMENT ON COLUMN gmail_detections.stream_id IS 'Feed of the mailbox (streams.id).';
COMMENT ON COLUMN gmail_detections.message_id IS 'Message (gmail_messages.message_id).';
COMMENT ON COLUMN gmail_detections.address IS 'Virtual address, in lower case.';
COMMENT ON COLUMN gmail_detections.username IS 'Name in the address.';
COMMENT ON COLUMN gmail_detections.status IS 'found, or user_not_found: the name matches no user, or several.';
COMMENT ON COLUMN gmail_detections.user_id IS 'User whom the address names (users.id). NULL: user_not_found.';
COMMENT ON COLUMN gmail_detections.kind IS 'email, drive_share (links to a file on Drive) or invitation (has a calendar part).';
COMMENT ON COLUMN gmail_detections.document_id IS 'Document of that user (documents.id). NULL: user_not_found.';
COMMENT ON COLUMN gmail_detections.detected_at IS 'When the address was found.';
COMMENT ON FUNCTION syncctl_forget_mailbox() IS 'Trigger of streams: deletes the messages, attachments, labels and detections of a deleted mailbox feed.';
