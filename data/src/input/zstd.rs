//! Files of zstd: one frame after the other.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::StreamingDecoder;

/// Unpacks all frames of a stream.
pub(crate) struct Frames<R: Read> {
    /// The frame that is being read; between two frames the stream.
    state: Option<State<R>>,
}

enum State<R: Read> {
    Frame(Box<StreamingDecoder<BufReader<R>, ruzstd::decoding::FrameDecoder>>),
    Between(BufReader<R>),
}

impl<R: Read> Frames<R> {
    pub(crate) fn new(input: R) -> io::Result<Frames<R>> {
        Ok(Frames { state: Some(State::Between(BufReader::new(input))) })
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state.take() {
                None => return Ok(0),
                Some(State::Between(mut input)) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let frame = StreamingDecoder::new(input).map_err(|error| invalid(&error))?;
                    self.state = Some(State::Frame(frame.into()));
                }
                Some(State::Frame(mut frame)) => match frame.read(buffer)? {
                    0 if !buffer.is_empty() => self.state = Some(State::Between(frame.into_inner())),
                    read => {
                        self.state = Some(State::Frame(frame));
                        return Ok(read);
                    }
                },
            }
        }
    }
}

fn invalid(error: &impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("damaged zstd data: {error}"))
}
