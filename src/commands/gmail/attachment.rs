//! `syncctl gmail attachment`: writes a stored attachment to a file.

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::commands::{Output, file, users};
use crate::engine::Context;
use crate::error::{Exit, Fault};
use crate::services::gmail::attachments::stored::{self, StoredContent};
use crate::state::NotStored;

/// Arguments of `gmail attachment`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User, by UUID or address
    user: String,
    /// Message, by the id in `gmail list`
    message_id: String,
    /// Attachment, by its number in `gmail show`
    number: u32,
    /// File to write to. Its name is never taken from the message
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Serialize)]
struct Written {
    file: String,
    bytes: u64,
}

/// Runs the command.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    let Args { message_id, number, .. } = args;
    let refused = |why: &str| Fault::usage(format!("attachment {number} of message {message_id} {why}"));
    let bytes = match stored::content(&context.pool, user, message_id, *number).await? {
        Some(StoredContent::Bytes(bytes)) => bytes,
        Some(StoredContent::NotStored(why)) => return Err(refused(&format!("is not stored: {}", reason(why))).into()),
        Some(StoredContent::Lost) => return Err(refused("is lost: `syncctl verify gmail --repair` reads it again").into()),
        None => return Err(refused("is not stored; see `syncctl gmail show`").into()),
    };
    let made = if args.overwrite { file::replace_with(&args.output, &bytes, 0o600) } else { file::create(&args.output, &bytes) };
    match made {
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists) => {
            return Err(Fault::usage(format!("{} exists; use --overwrite to replace it", args.output.display())).into());
        }
        made => made?,
    }
    let written = Written { file: args.output.display().to_string(), bytes: bytes.len() as u64 };
    // Nothing may follow the bytes on the standard output.
    if !file::is_open(&args.output) {
        output.print(&written, || format!("{} bytes written to {}", written.bytes, written.file))?;
    }
    Ok(Exit::Done)
}

/// Why an attachment is not stored, in words.
pub fn reason(why: NotStored) -> &'static str {
    match why {
        NotStored::Excluded => "not included by gmail.attachments",
        NotStored::TooLarge => "larger than gmail.attachment_max_size",
        NotStored::Unreadable => "its transfer encoding is damaged or unknown",
    }
}
