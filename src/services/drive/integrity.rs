//! Checks a download against the size and checksum of its file: a truncated answer can look complete. Pure.

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};

use super::file::File;
use crate::error::{Class, Failure};

/// Size and checksum of the bytes received so far.
#[derive(Default)]
pub struct Received {
    pub bytes: usize,
    sum: Md5,
}

impl Received {
    /// Takes the next part.
    pub fn push(&mut self, part: &[u8]) {
        self.bytes += part.len();
        self.sum.update(part);
    }

    /// Compares the complete download with the file's size and checksum. Missing values are not checked.
    ///
    /// # Errors
    /// Returns `Transient` if the download was truncated; `Permanent` with a time to wait if the content differs, so that the next poll shows the
    /// current state of the file.
    pub fn check(self, file: &File) -> Result<(), Failure> {
        let size = file.size.and_then(|size| usize::try_from(size).ok());
        if let Some(size) = size.filter(|size| self.bytes < *size) {
            return Err(Failure::new(Class::Transient, format!("files.get: received {} of {size} bytes", self.bytes)));
        }
        let sum = HEXLOWER.encode(&self.sum.finalize());
        let same = file.md5_checksum.as_deref().is_none_or(|expected| expected.eq_ignore_ascii_case(&sum));
        if same && size.is_none_or(|size| size == self.bytes) {
            Ok(())
        } else {
            let failure = Failure::new(Class::Permanent, "files.get: the content does not match md5Checksum and size");
            Err(Failure { retry_after: Some(std::time::Duration::ZERO), ..failure })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(content: &[u8], size: Option<i64>, sum: Option<&str>) -> Result<(), (Class, bool)> {
        let mut received = Received::default();
        content.chunks(2).for_each(|part| received.push(part));
        let file = File { size, md5_checksum: sum.map(str::to_owned), ..File::default() };
        received.check(&file).map_err(|failure| (failure.class, failure.retry_after.is_some()))
    }

    #[test]
    fn truncated_content_is_refetched_and_other_content_waits_for_the_next_poll() {
        let sum = Some("5d41402abc4b2a76b9719d911017c592");
        assert_eq!(checked(b"hello", Some(5), sum), Ok(()));
        assert_eq!(checked(b"hello", None, None), Ok(()));
        assert_eq!(checked(b"hel", Some(5), sum), Err((Class::Transient, false)));
        assert_eq!(checked(b"hallo", Some(5), sum), Err((Class::Permanent, true)));
        assert_eq!(checked(b"hello you", Some(5), sum), Err((Class::Permanent, true)));
        assert_eq!(checked(b"hello", Some(4), None), Err((Class::Permanent, true)));
    }
}
