//! Whether what came of a download is the file that was named: an answer can be cut and look well. Pure.

use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};

use super::file::File;
use crate::error::{Class, Failure};

/// What has come of a download so far.
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

    /// Holds what came to the end against what Google says of the file. What it does not say is not asked for.
    ///
    /// # Errors
    /// `Transient`: it was cut. `Permanent` with a time to wait: it is another content than the one that was named, so that the next poll
    /// shows what the file is by then.
    pub fn check(self, file: &File) -> Result<(), Failure> {
        let size = file.size.and_then(|size| usize::try_from(size).ok());
        if let Some(size) = size.filter(|size| self.bytes < *size) {
            return Err(Failure::new(Class::Transient, format!("files.get: {} of {size} bytes came", self.bytes)));
        }
        let sum = HEXLOWER.encode(&self.sum.finalize());
        let same = file.md5_checksum.as_deref().is_none_or(|named| named.eq_ignore_ascii_case(&sum));
        match same && size.is_none_or(|size| size == self.bytes) {
            true => Ok(()),
            false => {
                let failure = Failure::new(Class::Permanent, "files.get: what came is not what md5Checksum and size name");
                Err(Failure { retry_after: Some(std::time::Duration::ZERO), ..failure })
            }
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
    fn what_is_cut_is_asked_for_again_and_what_is_another_content_waits_for_the_next_poll() {
        let sum = Some("5d41402abc4b2a76b9719d911017c592");
        assert_eq!(checked(b"hello", Some(5), sum), Ok(()));
        assert_eq!(checked(b"hello", None, None), Ok(()));
        assert_eq!(checked(b"hel", Some(5), sum), Err((Class::Transient, false)));
        assert_eq!(checked(b"hallo", Some(5), sum), Err((Class::Permanent, true)));
        assert_eq!(checked(b"hello you", Some(5), sum), Err((Class::Permanent, true)));
        assert_eq!(checked(b"hello", Some(4), None), Err((Class::Permanent, true)));
    }
}
