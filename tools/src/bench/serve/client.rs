//! A connection to a server: one request after the other.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest wait for a part of a response.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Host and port.
    pub(super) authority: String,
    pub(super) path: String,
    pub(super) api_key: Option<String>,
}

impl Target {
    /// `http://HOST[:PORT][/PATH]`; the path is `/embed` without one.
    pub(super) fn parse(url: &str) -> Result<Target, String> {
        let rest = url.strip_prefix("http://").ok_or("expected http://HOST:PORT/PATH")?;
        let (authority, path) = match rest.find('/') {
            Some(slash) if slash + 1 < rest.len() => rest.split_at(slash),
            Some(slash) => (&rest[..slash], "/embed"),
            None => (rest, "/embed"),
        };
        let authority = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Target { authority, path: path.to_owned(), api_key: None })
    }

    /// The bytes of a request.
    pub(super) fn request(&self, body: &str) -> Vec<u8> {
        let key = self.api_key.as_ref().map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
        let Target { authority, path, .. } = self;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{key}\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Tokens that the server counted; 0 where it does not say.
    pub(super) tokens: usize,
    /// Whether the server closes the connection.
    pub(super) closes: bool,
}

/// An open connection.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(target: &Target) -> io::Result<Connection> {
        let stream = TcpStream::connect(&target.authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, buffer: Vec::with_capacity(CHUNK) })
    }

    /// Sends a request and reads its response.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        loop {
            if let Some((reply, length)) = parse(&self.buffer)? {
                while self.buffer.len() < length {
                    self.read()?;
                }
                return Ok(reply);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK, 0);
        let read = self.stream.read(&mut self.buffer[before..]);
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The head of a response, if it is complete, and the length of the whole response.
fn parse(bytes: &[u8]) -> io::Result<Option<(Reply, usize)>> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP response with a content-length");
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong())?;
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    let header = |name: &str| {
        let pairs = rest.lines().filter_map(|line| line.split_once(':'));
        let found = pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        found.filter_map(|value| value.trim().parse::<usize>().ok()).next()
    };
    let length = header("content-length").ok_or_else(wrong)?;
    let closes = rest.lines().any(|line| line.eq_ignore_ascii_case("connection: close"));
    let reply = Reply { status, tokens: header("x-compute-tokens").unwrap_or(0), closes };
    Ok(Some((reply, end + 4 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_path() {
        let of = |url: &str| Target::parse(url).map(|target| (target.authority, target.path));
        assert_eq!(of("http://a:1/embed"), Ok(("a:1".into(), "/embed".into())));
        assert_eq!(of("http://a"), Ok(("a:80".into(), "/embed".into())));
        assert_eq!(of("http://a:1/"), Ok(("a:1".into(), "/embed".into())));
        assert!(of("https://a").is_err() && of("a:1").is_err());
    }

    #[test]
    fn a_response_is_read_to_its_end() {
        let text = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 3\r\nx-compute-tokens: 7\r\n\r\nabc";
        let reply = Reply { status: 429, tokens: 7, closes: false };
        assert_eq!(parse(text).unwrap(), Some((reply, text.len())));
        assert_eq!(parse(&text[..40]).unwrap(), None);
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
