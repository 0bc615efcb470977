"""Fields that Google always sends if they are selected. They are not in the discovery documents, but in the reference pages and in public
answers. Also the default selection without `fields`."""

# Drive returns a few fields by default.
FILE = "kind,id,name,mimeType"
DRIVE = "kind,id,name"
SELECTED = {
    "drive.files.get": FILE,
    "drive.files.list": f"kind,incompleteSearch,nextPageToken,files({FILE})",
    "drive.drives.list": f"kind,nextPageToken,drives({DRIVE})",
    "drive.changes.list": "kind,nextPageToken,newStartPageToken,"
    f"changes(kind,changeType,type,time,removed,fileId,driveId,drive({DRIVE}),file({FILE}))",
}

EVENT = "kind etag id status htmlLink created updated creator organizer start end iCalUID sequence eventType reminders"
# A deletion has little more than an ID.
DELETED_EVENT = "kind etag id status"

ALWAYS = {
    "calendar.v3": {
        "Events": "kind etag summary updated timeZone accessRole defaultReminders items",
        "EventReminder": "method minutes",
        "CalendarList": "kind etag items",
        "CalendarListEntry": "kind etag id summary timeZone colorId backgroundColor foregroundColor accessRole defaultReminders conferenceProperties",
        "Calendar": "kind etag id summary timeZone conferenceProperties",
        "Channel": "kind id resourceId resourceUri expiration",
    },
    "drive.v3": {
        "About": "kind user",
        "StartPageToken": "kind startPageToken",
        "ChangeList": "kind changes",
        "Change": "kind changeType type time removed",
        "FileList": "kind incompleteSearch files",
        "File": "kind id name mimeType trashed explicitlyTrashed version createdTime modifiedTime webViewLink iconLink spaces starred capabilities",
        "DriveList": "kind drives",
        "Drive": "kind id name",
        "User": "kind displayName me permissionId emailAddress",
        "Channel": "kind id resourceId resourceUri expiration",
    },
    "gmail.v1": {
        "Profile": "emailAddress messagesTotal threadsTotal historyId",
        "ListMessagesResponse": "resultSizeEstimate",
        "ListHistoryResponse": "historyId",
        "History": "id messages",
        "HistoryMessageAdded": "message",
        "HistoryMessageDeleted": "message",
        "HistoryLabelAdded": "message labelIds",
        "HistoryLabelRemoved": "message labelIds",
        "Message": "id threadId",
        "MessagePartHeader": "name value",
        "MessagePartBody": "size",
        "ListLabelsResponse": "labels",
        "Label": "id name type",
        "WatchResponse": "historyId expiration",
    },
    "admin.directory_v1": {
        "Users": "kind etag users",
        "User": "kind id etag primaryEmail name isAdmin isDelegatedAdmin lastLoginTime creationTime agreedToTerms suspended archived "
        "changePasswordAtNextLogin ipWhitelisted emails customerId orgUnitPath isMailboxSetup isEnrolledIn2Sv isEnforcedIn2Sv "
        "includeInGlobalAddressList",
        "UserName": "givenName familyName fullName",
    },
}


def fields(api, schema, value):
    """Names of the fields that a value of this schema always has."""
    if (api, schema) == ("calendar.v3", "Event"):
        return (DELETED_EVENT if value.get("status") == "cancelled" else EVENT).split()
    if (api, schema) == ("calendar.v3", "CalendarListEntry") and value.get("deleted"):
        return "kind etag id deleted".split()
    if (api, schema) == ("gmail.v1", "Message") and "snippet" in value:
        # Not in lists, which contain only the IDs of messages.
        return "id threadId snippet sizeEstimate historyId internalDate".split()
    return ALWAYS[api].get(schema, "").split()
