//! The fields that Google's answers can have, whether simulated or not: a selection of any other is refused, as Google refuses it.
//! `tests/official-client` compares them with Google's discovery documents.

use std::sync::LazyLock;

use crate::fields::{Schema, Selector};

const WHEN: &str = "(date, dateTime, timeZone)";
const PERSON: &str = "(displayName, email, id, self)";
const REMINDERS: &str = "(method, minutes)";
const SOLUTIONS: &str = "(allowedConferenceSolutionTypes)";

/// Of `events.get`.
pub static EVENT: LazyLock<Schema> = LazyLock::new(|| Selector::schema(&event()));
/// Of `events.list`.
pub static EVENTS: LazyLock<Schema> = LazyLock::new(|| {
    let list = "accessRole, description, etag, kind, nextPageToken, nextSyncToken, summary, timeZone, updated";
    Selector::schema(&format!("defaultReminders{REMINDERS}, items({}), {list}", event()))
});
/// Of `calendarList.list`.
pub static CALENDAR_LIST: LazyLock<Schema> = LazyLock::new(|| {
    let entry = "accessRole, autoAcceptInvitations, backgroundColor, colorId, dataOwner, deleted, description, etag, foregroundColor,
        hidden, id, kind, location, notificationSettings(notifications(method, type)), primary, selected, summary, summaryOverride,
        timeZone";
    let entry = format!("{entry}, conferenceProperties{SOLUTIONS}, defaultReminders{REMINDERS}");
    Selector::schema(&format!("etag, items({entry}), kind, nextPageToken, nextSyncToken"))
});
/// Of `calendars.get`.
pub static CALENDAR: LazyLock<Schema> = LazyLock::new(|| {
    let more = "labelProperties(eventLabels(backgroundColor, id, name)), location, summary, timeZone,
        workingHours(availableTimes(dayOfWeek, periodEnd, periodStart), workingHoursEnabled)";
    let names = "autoAcceptInvitations, dataOwner, description, etag, id, kind";
    Selector::schema(&format!("{names}, conferenceProperties{SOLUTIONS}, {more}"))
});
/// Of all methods that open a channel.
pub static CHANNEL: LazyLock<Schema> =
    LazyLock::new(|| Selector::schema("address, expiration, id, kind, params(*), payload, resourceId, resourceUri, token, type"));

fn event() -> String {
    let conference = "conferenceId, conferenceSolution(iconUri, key(type), name),
        createRequest(conferenceSolutionKey(type), requestId, status(statusCode)),
        entryPoints(accessCode, entryPointFeatures, entryPointType, label, meetingCode, passcode, password, pin, regionCode, uri),
        notes, parameters(addOnParameters(parameters(*))), signature";
    let absence = "autoDeclineMode, declineMessage";
    format!(
        "anyoneCanAddSelf, attachments(fileId, fileUrl, iconLink, mimeType, title),
        attendees(additionalGuests, asyncOperation, comment, displayName, email, id, optional, organizer, resource, responseStatus, self),
        attendeesOmitted, birthdayProperties(contact, customTypeName, type), colorId, conferenceData({conference}), created,
        creator{PERSON}, description, end{WHEN}, endTimeUnspecified, etag, eventLabelId, eventType,
        extendedProperties(private(*), shared(*)), focusTimeProperties({absence}, chatStatus),
        gadget(display, height, iconLink, link, preferences(*), title, type, width), guestsCanInviteOthers, guestsCanModify,
        guestsCanSeeOtherGuests, hangoutLink, htmlLink, iCalUID, id, kind, location, locked, organizer{PERSON},
        originalStartTime{WHEN}, outOfOfficeProperties({absence}), privateCopy, recurrence, recurringEventId,
        reminders(overrides{REMINDERS}, useDefault), sequence, source(title, url), start{WHEN}, status, summary, transparency,
        updated, visibility,
        workingLocationProperties(customLocation(label), homeOffice(*),
            officeLocation(buildingId, deskId, floorId, floorSectionId, label), type)"
    )
}

const USER: &str = "(displayName, emailAddress, kind, me, permissionId, photoLink)";
const DRIVE: &str = "backgroundImageFile(id, width, xCoordinate, yCoordinate), backgroundImageLink, capabilities(*), colorRgb,
    createdTime, hidden, id, kind, name, orgUnitId, restrictions(*), themeId";

/// Of `files.get`.
pub static FILE: LazyLock<Schema> = LazyLock::new(|| Selector::schema(&file()));
/// Of `files.list`.
pub static FILES: LazyLock<Schema> =
    LazyLock::new(|| Selector::schema(&format!("files({}), incompleteSearch, kind, nextPageToken", file())));
/// Of `drives.list`.
pub static DRIVES: LazyLock<Schema> = LazyLock::new(|| Selector::schema(&format!("drives({DRIVE}), kind, nextPageToken")));
/// Of `changes.list`.
pub static CHANGES: LazyLock<Schema> = LazyLock::new(|| {
    let names = "changeType, driveId, fileId, kind, removed, teamDrive(*), teamDriveId, time, type";
    let change = format!("{names}, drive({DRIVE}), file({})", file());
    Selector::schema(&format!("changes({change}), kind, newStartPageToken, nextPageToken"))
});
/// Of `changes.getStartPageToken`.
pub static START: LazyLock<Schema> = LazyLock::new(|| Selector::schema("kind, startPageToken"));
/// Of `about.get`.
pub static ABOUT: LazyLock<Schema> = LazyLock::new(|| {
    let names =
        "appInstalled, canCreateDrives, canCreateTeamDrives, driveThemes(backgroundImageLink, colorRgb, id), exportFormats(*),
        folderColorPalette, importFormats(*), kind, maxImportSizes(*), maxUploadSize,
        storageQuota(limit, usage, usageInDrive, usageInDriveTrash), teamDriveThemes(backgroundImageLink, colorRgb, id)";
    Selector::schema(&format!("{names}, user{USER}"))
});

fn file() -> String {
    let names = "appProperties(*), capabilities(*), clientEncryptionDetails(*), contentHints(*), contentRestrictions(*),
        copyRequiresWriterPermission, createdTime, description, downloadRestrictions(*), driveId, explicitlyTrashed, exportLinks(*),
        fileExtension, folderColorRgb, fullFileExtension, hasAugmentedPermissions, hasThumbnail, headRevisionId, iconLink, id,
        imageMediaMetadata(*), inheritedPermissionsDisabled, isAppAuthorized, kind, labelInfo(*),
        linkShareMetadata(securityUpdateEligible, securityUpdateEnabled), md5Checksum, mimeType, modifiedByMe, modifiedByMeTime,
        modifiedTime, name, originalFilename, ownedByMe, parents, permissionIds,
        permissions(allowFileDiscovery, deleted, displayName, domain, emailAddress, expirationTime, id, inheritedPermissionsDisabled, kind,
            pendingOwner, permissionDetails(*), photoLink, role, teamDrivePermissionDetails(*), type, view), properties(*), quotaBytesUsed,
        resourceKey, sha1Checksum, sha256Checksum, shared, sharedWithMeTime,
        shortcutDetails(targetId, targetMimeType, targetResourceKey), size, spaces, starred, teamDriveId, thumbnailLink,
        thumbnailVersion, trashed, trashedTime, version, videoMediaMetadata(durationMillis, height, width), viewedByMe,
        viewedByMeTime, viewersCanCopyContent, webContentLink, webViewLink, writersCanShare";
    format!("{names}, lastModifyingUser{USER}, owners{USER}, sharingUser{USER}, trashingUser{USER}")
}

/// Of `messages.get`.
pub static MESSAGE: LazyLock<Schema> = LazyLock::new(|| Selector::schema(&message()));
/// Of `messages.list`.
pub static MESSAGES: LazyLock<Schema> =
    LazyLock::new(|| Selector::schema(&format!("messages({}), nextPageToken, resultSizeEstimate", message())));
/// Of `history.list`.
pub static HISTORY: LazyLock<Schema> = LazyLock::new(|| {
    let message = message();
    let labels = format!("(labelIds, message({message}))");
    let record = format!(
        "id, labelsAdded{labels}, labelsRemoved{labels}, messages({message}), messagesAdded(message({message})), messagesDeleted(message({message}))"
    );
    Selector::schema(&format!("history({record}), historyId, nextPageToken"))
});
/// Of `users.getProfile`.
pub static PROFILE: LazyLock<Schema> = LazyLock::new(|| Selector::schema("emailAddress, historyId, messagesTotal, threadsTotal"));
const LABEL_FIELDS: &str = "color(backgroundColor, textColor), id, labelListVisibility, messageListVisibility, messagesTotal,
    messagesUnread, name, threadsTotal, threadsUnread, type";

/// Of `labels.get`.
pub static LABEL: LazyLock<Schema> = LazyLock::new(|| Selector::schema(LABEL_FIELDS));
/// Of `labels.list`.
pub static LABELS: LazyLock<Schema> = LazyLock::new(|| Selector::schema(&format!("labels({LABEL_FIELDS})")));
/// Of `users.watch`.
pub static WATCH: LazyLock<Schema> = LazyLock::new(|| Selector::schema("expiration, historyId"));
/// Of methods without an answer.
pub static NOTHING: LazyLock<Schema> = LazyLock::new(Schema::default);

fn message() -> String {
    let part = "body(attachmentId, data, size), filename, headers(name, value), mimeType, partId, parts";
    // Parts are nested as deep as the message has them.
    format!(
        "classificationLabelValues(fields(fieldId, selection), labelId), historyId, id, internalDate, labelIds, payload({part}({part}(*))),
        raw, sizeEstimate, snippet, threadId"
    )
}

/// Of `directory.users.list`.
pub static DIRECTORY: LazyLock<Schema> = LazyLock::new(|| {
    Selector::schema(
        "etag, kind, nextPageToken, trigger_event,
        users(addresses(*), agreedToTerms, aliases, archivalTime, archived, changePasswordAtNextLogin, creationTime, customSchemas(*),
            customerId, deletionTime, emails(*), etag, externalIds(*), gender(*), guestAccountInfo(primaryGuestEmail), hashFunction, id,
            ims(*), includeInGlobalAddressList, ipWhitelisted, isAdmin, isDelegatedAdmin, isEnforcedIn2Sv, isEnrolledIn2Sv, isGuestUser,
            isMailboxSetup, keywords(*), kind, languages(*), lastLoginTime, locations(*),
            name(displayName, familyName, fullName, givenName), nonEditableAliases, notes(*), orgUnitPath, organizations(*), password,
            phones(*), posixAccounts(*), primaryEmail, recoveryEmail, recoveryPhone, relations(*), sshPublicKeys(*), suspended,
            suspensionReason, suspensionTime, thumbnailPhotoEtag, thumbnailPhotoUrl, websites(*))",
    )
});
