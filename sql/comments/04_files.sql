-- # Files
COMMENT ON TABLE drives IS 'Shared drives in each user''s list (drives.list). My Drive has no row.';
COMMENT ON COLUMN drives.user_id IS 'Member of the drive (users.id).';
COMMENT ON COLUMN drives.drive_id IS 'drives: id.';
COMMENT ON COLUMN drives.name IS 'drives: name.';
COMMENT ON COLUMN drives.raw IS 'The drive as received.';
COMMENT ON COLUMN drives.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: none did.';
COMMENT ON COLUMN drives.deleted_at IS 'When it was found to be missing from the list. NULL: it is listed.';
COMMENT ON COLUMN drives.synced_at IS 'When it was last listed.';

COMMENT ON TABLE drive_files IS
  'Files and folders, each once however many users see it, in the newest version of any feed (changes.list, files.list, files.get).';
COMMENT ON COLUMN drive_files.file_id IS 'files: id.';
COMMENT ON COLUMN drive_files.drive_id IS 'Shared drive (drives.drive_id). files: driveId. NULL: it belongs to a user.';
COMMENT ON COLUMN drive_files.name IS 'files: name.';
COMMENT ON COLUMN drive_files.mime_type IS 'files: mimeType. Folders: application/vnd.google-apps.folder.';
COMMENT ON COLUMN drive_files.parents IS 'IDs of the folders that contain it. files: parents. Empty: none is visible.';
COMMENT ON COLUMN drive_files.trashed IS 'Whether it is in the trash. files: trashed.';
COMMENT ON COLUMN drive_files.version IS 'Rises with every change, visible or not. files: version.';
COMMENT ON COLUMN drive_files.md5_checksum IS 'files: md5Checksum. NULL: a folder, a shortcut, or a format of Google''s own.';
COMMENT ON COLUMN drive_files.head_revision_id IS 'files: headRevisionId. NULL: a folder, a shortcut, or a format of Google''s own.';
COMMENT ON COLUMN drive_files.size IS 'Bytes. files: size. NULL: not sent, as for folders.';
COMMENT ON COLUMN drive_files.modified_at IS 'When anyone last modified it. files: modifiedTime.';
COMMENT ON COLUMN drive_files.web_view_link IS 'Link to open it in a browser. files: webViewLink.';
COMMENT ON COLUMN drive_files.created_at IS 'When it was created at Google. files: createdTime. NULL: not read since there is this column.';
COMMENT ON COLUMN drive_files.description IS 'First 4,000 characters. files: description. NULL: none.';
COMMENT ON COLUMN drive_files.owners IS
  'Addresses in lower case; an element is NULL if Google hides it. files: owners[].emailAddress. NULL: in a shared drive, or not read.';
COMMENT ON COLUMN drive_files.owner_names IS 'Names in the order of owners. files: owners[].displayName. NULL: as owners.';
COMMENT ON COLUMN drive_files.shared IS 'Shared with anyone besides its owner. files: shared. NULL: in a shared drive, or not read.';
COMMENT ON COLUMN drive_files.shortcut_target_id IS 'ID of the file that a shortcut leads to. files: shortcutDetails.targetId. NULL: not a shortcut.';
COMMENT ON COLUMN drive_files.shortcut_target_mime_type IS 'Its type. files: shortcutDetails.targetMimeType. NULL: not a shortcut.';
COMMENT ON COLUMN drive_files.raw IS 'The requested fields as received, without permissions, ownedByMe, starred and description.';
COMMENT ON COLUMN drive_files.deleted_at IS 'When the last user who saw it no longer did. NULL: a user sees it.';
COMMENT ON COLUMN drive_files.synced_at IS 'When this version was stored.';
COMMENT ON COLUMN drive_files.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE drive_file_access IS 'Who sees a file through which feed, and the file as that feed last showed it.';
COMMENT ON COLUMN drive_file_access.stream_id IS 'Feed of My Drive or a shared drive (streams.id).';
COMMENT ON COLUMN drive_file_access.file_id IS 'File (drive_files.file_id).';
COMMENT ON COLUMN drive_file_access.user_id IS 'User who sees the file (users.id).';
COMMENT ON COLUMN drive_file_access.name IS 'As in drive_files, for this user.';
COMMENT ON COLUMN drive_file_access.parents IS 'Folders that this user sees. Empty: none is visible.';
COMMENT ON COLUMN drive_file_access.trashed IS 'As in drive_files, for this user.';
COMMENT ON COLUMN drive_file_access.version IS 'Version that the feed last showed. files: version.';
COMMENT ON COLUMN drive_file_access.content_key IS
  'Changes with the content: checksum, revision, or for Google''s own formats the time of the last edit in ms. Empty: no content.';
COMMENT ON COLUMN drive_file_access.owned_by_me IS 'Whether this user owns it. files: ownedByMe. NULL: in a shared drive, or not read.';
COMMENT ON COLUMN drive_file_access.starred IS 'Whether this user starred it. files: starred. NULL: not read.';
COMMENT ON COLUMN drive_file_access.permissions_known IS
  'What drive_permissions has of them: all; some (too many); ids (only IDs); none (the user may not share it). NULL: not read, or lost.';
COMMENT ON COLUMN drive_file_access.seen_pass IS 'Last full pass that listed it, as in streams.pass. NULL: only changes did.';
COMMENT ON COLUMN drive_file_access.deleted_at IS 'When this user was found to no longer see the file. NULL: the user sees it.';
COMMENT ON COLUMN drive_file_access.synced_at IS 'When the row last changed.';
COMMENT ON COLUMN drive_file_access.changed_xid IS 'Transaction that last changed the row, for changes_since. NULL: changed before there was this column.';

COMMENT ON TABLE drive_permissions IS 'Who may do what with a file, as each user sees it (files: permissions, permissionIds).';
COMMENT ON COLUMN drive_permissions.user_id IS 'User who sees the permission (users.id).';
COMMENT ON COLUMN drive_permissions.stream_id IS 'Feed that shows the file (streams.id).';
COMMENT ON COLUMN drive_permissions.file_id IS 'File (drive_files.file_id).';
COMMENT ON COLUMN drive_permissions.permission_id IS 'permissions: id. The same for a grantee in all files.';
COMMENT ON COLUMN drive_permissions.type IS 'user, group, domain or anyone. permissions: type. NULL: only the ID is known, and all columns below are NULL.';
COMMENT ON COLUMN drive_permissions.role IS 'owner, organizer, fileOrganizer, writer, commenter or reader. permissions: role.';
COMMENT ON COLUMN drive_permissions.email IS 'Address of a user or group, in lower case. permissions: emailAddress. NULL: hidden, or another type.';
COMMENT ON COLUMN drive_permissions.domain IS 'Domain, in lower case. permissions: domain. NULL: another type.';
COMMENT ON COLUMN drive_permissions.display_name IS 'permissions: displayName.';
COMMENT ON COLUMN drive_permissions.allow_file_discovery IS
  'Found by search, not only by its link. permissions: allowFileDiscovery. NULL: not for a domain or anyone.';
COMMENT ON COLUMN drive_permissions.expires_at IS 'permissions: expirationTime. NULL: it does not expire.';
COMMENT ON COLUMN drive_permissions.deleted IS 'The account no longer exists. permissions: deleted.';
COMMENT ON COLUMN drive_permissions.pending_owner IS 'Ownership was offered. permissions: pendingOwner.';
COMMENT ON COLUMN drive_permissions.inherited IS
  'Only inherited from a folder, not given directly as well. permissions: permissionDetails[].inherited. NULL: not known.';

COMMENT ON VIEW drive_shared_outside IS
  'Permissions that reach beyond the domain of the user who sees them: links, other domains, and addresses of other domains. Without owners.';
COMMENT ON COLUMN drive_shared_outside.user_email IS 'Address of that user.';
COMMENT ON COLUMN drive_shared_outside.shared_by IS 'link (anyone), domain or address.';
COMMENT ON COLUMN drive_shared_outside.shared_with IS 'Address or domain. NULL: anyone with the link, or a hidden address.';
COMMENT ON COLUMN drive_shared_outside.role IS 'organizer, fileOrganizer, writer, commenter or reader. permissions: role.';

COMMENT ON VIEW drive_paths IS 'Path of each file that a user sees, from the topmost folder that this user sees.';
COMMENT ON COLUMN drive_paths.drive IS 'Name of the shared drive. NULL: none, or not in the user''s list.';
COMMENT ON COLUMN drive_paths.path IS 'Names from the topmost folder to the file, each after a slash.';
COMMENT ON COLUMN drive_paths.ids IS 'IDs from the topmost folder to the file.';
COMMENT ON COLUMN drive_paths.top_id IS 'Parent of the topmost folder, which has no row: a drive, or an invisible folder. NULL: none.';

COMMENT ON TABLE drive_file_watches IS 'Files that a user follows (drive watch-file, drive.documents); each becomes a document.';
COMMENT ON COLUMN drive_file_watches.user_id IS 'User who follows the file (users.id).';
COMMENT ON COLUMN drive_file_watches.file_id IS 'File (drive_files.file_id); can be named before it is seen.';
COMMENT ON COLUMN drive_file_watches.document_id IS 'ID that its document has or gets (documents.id).';
COMMENT ON COLUMN drive_file_watches.project_id IS 'Project of the document, as given with the file. NULL: none.';
COMMENT ON COLUMN drive_file_watches.told_version IS 'Version of the file that the document shows. NULL: the next poll writes the document.';
COMMENT ON COLUMN drive_file_watches.content_key IS 'Content that the document has, as in drive_file_access. NULL: the next poll reads it.';
COMMENT ON COLUMN drive_file_watches.retry_at IS 'From when content that a limit withheld is requested again. NULL: none was withheld.';
COMMENT ON COLUMN drive_file_watches.created_at IS 'When it was first followed.';
COMMENT ON FUNCTION syncctl_forget_drive() IS 'Trigger of streams: deletes the access rows and permissions of a deleted drive feed.';
