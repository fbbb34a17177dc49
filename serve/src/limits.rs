//! What a server takes at most.

use std::time::Duration;

/// Limits of a server. Everything beyond one of them is an [`Error`](crate::Error) with a status of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of a batch. A text with more is a batch of its own.
    pub batch_tokens: usize,
    /// Texts that wait for a batch.
    pub queue: usize,
    /// Texts of a request.
    pub request_texts: usize,
    /// Tokens of a request whose answer has a vector for every token.
    pub state_tokens: usize,
    /// Bytes of a body, unpacked.
    pub body_bytes: usize,
    /// Bytes of a text: a text is tokenized as a whole before it is truncated, which takes about 200 times its bytes of memory.
    pub text_bytes: usize,
    /// From the body to the result.
    pub response_time: Duration,
    /// From the headers to the end of the body.
    pub body_time: Duration,
    /// Connections that are open at the same time. Further ones are answered with 503.
    pub connections: usize,
    /// To the end of the headers, from the opening of a connection or from the response before: idle connections end, too.
    pub header_time: Duration,
    /// How long a client may take nothing of a response that is sent to it.
    pub write_time: Duration,
    /// Whether texts that are longer than the model reads are truncated where the request does not say.
    pub truncate: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            batch_tokens: 16384,
            queue: 4096,
            request_texts: 2048,
            state_tokens: 32768,
            body_bytes: 4 << 20,
            text_bytes: 256 << 10,
            response_time: Duration::from_secs(60),
            body_time: Duration::from_secs(30),
            connections: 16384,
            header_time: Duration::from_secs(75),
            write_time: Duration::from_secs(60),
            truncate: false,
        }
    }
}
