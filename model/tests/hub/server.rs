//! A stand-in for the hub: what its library asks for, over plain HTTP on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How the server misbehaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Every answer has this status.
    Status(u16),
    /// The next so many bodies of this size or more stop in the middle.
    Truncate {
        times: usize,
        least: usize,
    },
    /// Whole files, whatever range is asked for.
    NoRanges,
    /// Pages instead of answers.
    Pages,
}

/// Files of one commit.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What the hub has.
pub(crate) struct Content {
    /// Commits by what they are called, and themselves.
    pub(crate) revisions: BTreeMap<String, String>,
    pub(crate) commits: BTreeMap<String, Files>,
    pub(crate) fault: Fault,
    /// The token without which nothing is given.
    pub(crate) token: Option<String>,
    /// What large files are said to be, if not the digest that this server makes up.
    pub(crate) digest: Option<String>,
    /// Method and path of every request, with its range.
    pub(crate) log: Vec<String>,
}

/// One model named `NAME`, until the value is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    content: Arc<Mutex<Content>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) const NAME: &str = "tiny/model";

impl Server {
    /// `revisions` are names, commits and files.
    pub(crate) fn new(revisions: &[(&str, &str, Files)]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut content = Content {
            revisions: BTreeMap::new(),
            commits: BTreeMap::new(),
            fault: Fault::None,
            token: None,
            digest: None,
            log: Vec::new(),
        };
        for (name, commit, files) in revisions {
            content.revisions.extend([name, commit].map(|key| ((*key).to_owned(), (*commit).to_owned())));
            content.commits.insert((*commit).to_owned(), files.clone());
        }
        let (content, stop) = (Arc::new(Mutex::new(content)), Arc::new(AtomicBool::new(false)));
        let (served, stopped) = (Arc::clone(&content), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away early is its own affair.
                let _ = stream.and_then(|stream| answer(stream, address, &served));
            }
        });
        Server { address, content, stop, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content.lock().unwrap());
    }

    /// What was asked since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.content.lock().unwrap().log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes it up
        self.thread.take().map(JoinHandle::join);
    }
}

fn answer(mut stream: TcpStream, address: SocketAddr, content: &Mutex<Content>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut range, mut token) = (None, None);
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "range" => range = value.strip_prefix("bytes=").map(str::to_owned),
                "authorization" => token = value.strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
    }
    let mut content = content.lock().unwrap();
    content.log.push(match &range {
        Some(range) => format!("{path} {range}"),
        None => path.clone(),
    });
    let plain = |status: u16, kind: &str, body: &[u8]| {
        let mut all = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
            Connection: close\r\n\r\n",
            body.len()
        )
        .into_bytes();
        all.extend_from_slice(body);
        all
    };
    if let Fault::Status(status) = content.fault {
        return stream.write_all(&plain(status, "text/plain", b"no"));
    }
    if content.fault == Fault::Pages {
        return stream.write_all(&plain(200, "text/html", b"<html>Sign in</html>"));
    }
    if content.token.is_some() && content.token != token {
        return stream.write_all(&plain(401, "text/plain", b"no"));
    }
    if let Some(revision) = path.strip_prefix(&format!("/api/models/{NAME}/revision/")) {
        let Some(commit) = content.revisions.get(&revision.replace("%2F", "/")) else {
            return stream.write_all(&plain(404, "application/json", br#"{"error":"Invalid rev id"}"#));
        };
        let names = content.commits[commit].keys();
        let siblings: Vec<_> = names.map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": commit, "siblings": siblings, "private": false }).to_string();
        return stream.write_all(&plain(200, "application/json", body.as_bytes()));
    }
    // Large files lie elsewhere: on the hub itself the link, with the headers, and there the bytes.
    let (prefix, elsewhere) = (format!("/{NAME}/resolve/"), "/elsewhere/");
    let place =
        path.strip_prefix(&prefix).or_else(|| path.strip_prefix(elsewhere)).and_then(|rest| rest.split_once('/'));
    let found = place.and_then(|(revision, file)| {
        let commit = content.revisions.get(revision)?.clone();
        let body = content.commits[&commit].get(file)?.clone();
        Some((commit, file.to_owned(), body))
    });
    let Some((commit, file, body)) = found else {
        return stream.write_all(&plain(404, "text/plain", b"Entry not found"));
    };
    let own = content.digest.clone().filter(|_| file.ends_with(".safetensors"));
    let etag = own.unwrap_or_else(|| format!("{:016x}", hash(&body)));
    if path.starts_with(&prefix) && file.ends_with(".safetensors") {
        return stream.write_all(
            format!(
                "HTTP/1.1 302 Found\r\nLocation: http://{address}{elsewhere}{commit}/{file}\r\nX-Repo-Commit: {commit}\r\n\
                 X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        );
    }
    let (first, last) = range.as_deref().and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap();
    let end = last.parse::<usize>().map_or(body.len(), |last| last + 1).min(body.len());
    if first >= body.len() {
        return stream.write_all(&plain(416, "text/plain", b""));
    }
    let (status, part) = match content.fault {
        Fault::NoRanges if end == body.len() => (200, &body[..]),
        _ => (206, &body[first..end]),
    };
    let mut sent = part;
    if let Fault::Truncate { times: times @ 1.., least } = content.fault
        && part.len() >= least
    {
        content.fault = Fault::Truncate { times: times - 1, least };
        sent = &part[..part.len() / 2];
    }
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{}/{}\r\nETag: \"{etag}\"\r\n\
         X-Repo-Commit: {commit}\r\nConnection: close\r\n\r\n",
        part.len(),
        end - 1,
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(sent)
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
