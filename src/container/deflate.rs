//! Sections that are stored deflated: RFC 1951, without a header of zlib or gzip.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use lacuna_kernels::Buffer;

/// The most bytes that a byte of a section becomes. What shrinks more is stored as it is, so that what a file makes a reader allocate is
/// bounded by the length of the file.
pub(super) const MOST_GROWTH: usize = 32;

/// The bytes deflated, if that saves at least a quarter of them, and not more than [`MOST_GROWTH`] allows.
pub(super) fn deflate(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut deflated = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut state = Compress::new(Compression::best(), false);
    // It ends where the room ends.
    let end = state.compress_vec(bytes, &mut deflated, FlushCompress::Finish).ok()?;
    let is_worth_it = end == Status::StreamEnd && bytes.len() <= deflated.len() * MOST_GROWTH;
    is_worth_it.then_some(deflated)
}

/// The `length` bytes that were deflated, at an address that is a multiple of 64.
///
/// # Errors
/// What is wrong with the stream, in words: it must end with the last of `bytes`, and give neither fewer nor more than `length` bytes.
pub(super) fn inflate(bytes: &[u8], length: usize) -> Result<Buffer<u8>, String> {
    let mut inflated = Buffer::new(length);
    let mut state = Decompress::new(false);
    let end = state.decompress(bytes, &mut inflated, FlushDecompress::Finish).map_err(|error| error.to_string())?;
    let (read, written) = (state.total_in(), state.total_out());
    match end {
        Status::StreamEnd if read == bytes.len() as u64 && written == length as u64 => Ok(inflated),
        Status::StreamEnd => Err(format!("{written} bytes that end after {read} of {} deflated bytes", bytes.len())),
        Status::Ok | Status::BufError => Err(format!("deflated bytes without an end after {written} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without a pattern.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x2545_f491_u32;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn bytes_come_back() {
        for length in [1, 63, 64, 1000, 100_000] {
            let bytes: Vec<u8> = noise(length).iter().map(|byte| byte & 3).collect();
            let Some(deflated) = deflate(&bytes) else {
                assert!(length < 1000, "{length}");
                continue;
            };
            assert!(deflated.len() * 4 <= length * 3);
            let inflated = inflate(&deflated, length).unwrap();
            assert_eq!(inflated[..], bytes[..]);
            assert_eq!(inflated.as_ptr().align_offset(64), 0);
        }
    }

    #[test]
    fn what_saves_little_or_shrinks_too_much_stays() {
        assert!(deflate(&noise(10_000)).is_none());
        assert!(deflate(&[0; 10_000]).is_none());
        assert!(deflate(&[]).is_none());
    }

    #[test]
    fn other_lengths_and_other_streams_are_refused() {
        let bytes: Vec<u8> = (0..1000).map(|i| (i % 7 * 3) as u8 ^ (i / 100) as u8).collect();
        let deflated = deflate(&bytes).unwrap();
        assert!(inflate(&deflated, 1000).is_ok());
        for length in [0, 1, 999, 1001, 5000] {
            assert!(inflate(&deflated, length).is_err(), "{length}");
        }
        for cut in 0..deflated.len() {
            assert!(inflate(&deflated[..cut], 1000).is_err(), "{cut}");
        }
        assert!(inflate(&[&deflated[..], &[0]].concat(), 1000).unwrap_err().contains("end after"));
        assert!(inflate(&[0xff; 100], 1000).is_err());
    }
}
