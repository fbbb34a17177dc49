//! Starting a worker and talking to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use lacuna_console::error::{Error, Result};
use lacuna_jit::Tier;

use super::engine::EngineId;
use super::protocol::{Reply, Request};
use super::threads::list;
use lacuna_console::interrupt;

/// One engine in a process of its own; started by the other compare commands
#[derive(clap::Args)]
pub(crate) struct WorkerArgs {
    /// The engine
    #[arg(long, value_name = "NAME", value_parser = EngineId::named)]
    pub(crate) engine: EngineId,

    /// Its shared library
    #[arg(long, value_name = "FILE")]
    pub(crate) library: Option<PathBuf>,

    /// CPUs to run on
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pub(crate) pin: Vec<usize>,
}

/// How a worker is started.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) engine: EngineId,
    /// The shared library, of engines that have one.
    pub(crate) library: Option<PathBuf>,
    pub(crate) threads: usize,
    /// CPUs to run on; all without.
    pub(crate) pin: Vec<usize>,
    pub(crate) tier: Tier,
    /// How long an answer may take.
    pub(crate) patience: Duration,
}

/// A worker whose engine is open.
pub(crate) struct Worker {
    pub(crate) launch: Launch,
    /// As the engine reports.
    pub(crate) version: String,
    /// CPUs that it may run on, as the system lists them.
    pub(crate) cpus: Option<String>,
    process: Process,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The user wants to stop.
    Interrupted,
    /// The engine could not do it; the worker is still there.
    Failed(String),
    /// The worker is gone, or taken for gone.
    Lost(String),
}

impl Worker {
    /// Starts a worker and waits until its engine is open.
    pub(crate) fn start(launch: Launch) -> Result<Worker, NoAnswer> {
        let process = Process::start(&launch).map_err(|error| NoAnswer::Lost(format!("cannot start: {error}")))?;
        let mut worker = Worker { launch, version: String::new(), cpus: None, process };
        match worker.process.answer(worker.launch.patience)? {
            Reply::Opened { version, cpus } => (worker.version, worker.cpus) = (version, cpus),
            other => return Err(unexpected(&other)),
        }
        Ok(worker)
    }

    /// Asks and waits for the reply; [`Reply::Failed`] becomes an error.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, NoAnswer> {
        self.tell(request)?;
        self.reply()
    }

    /// Asks and does not wait: the reply is to be taken with [`Worker::reply`].
    pub(crate) fn tell(&mut self, request: &Request) -> Result<(), NoAnswer> {
        self.process.tell(request)
    }

    /// Waits for the reply to [`Worker::tell`].
    pub(crate) fn reply(&mut self) -> Result<Reply, NoAnswer> {
        self.process.answer(self.launch.patience)
    }
}

/// A reply that does not belong to the request: a worker of another version.
pub(crate) fn unexpected(reply: &Reply) -> NoAnswer {
    NoAnswer::Lost(format!("answered something else: {:.80}", format!("{reply:?}")))
}

struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    replies: Receiver<String>,
    /// What the engine writes on standard error, complete when it has ended.
    complaints: Receiver<String>,
}

impl Process {
    fn start(launch: &Launch) -> std::io::Result<Process> {
        let threads = launch.threads.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["compare", "worker", "--engine", launch.engine.name(), "--threads", &threads]);
        command.args(["--tier", launch.tier.name()]);
        if let Some(library) = &launch.library {
            command.arg("--library").arg(library);
        }
        if !launch.pin.is_empty() {
            command.args(["--pin", &list(&launch.pin)]);
        }
        for variable in ["OMP_NUM_THREADS", "RAYON_NUM_THREADS", "RTEN_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            command.env(variable, &threads);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        {
            // A process group of its own: Ctrl-C reaches only the command, which prints its results so far and then ends its workers.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let (requests, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (reply, replies) = channel();
        let (complaint, complaints) = channel();
        std::thread::spawn(move || {
            let lines = stdout.map(BufReader::new).into_iter().flat_map(BufRead::lines);
            lines.map_while(Result::ok).take_while(|line| reply.send(line.clone()).is_ok()).for_each(drop);
        });
        std::thread::spawn(move || {
            let mut text = Vec::new();
            // Output that cannot be read is not reported.
            let _ = stderr.map(|mut stderr| stderr.read_to_end(&mut text));
            let _ = complaint.send(String::from_utf8_lossy(&text).into_owned());
        });
        Ok(Process { child, requests, replies, complaints })
    }

    fn tell(&mut self, request: &Request) -> Result<(), NoAnswer> {
        let sent = match (&mut self.requests, serde_json::to_string(request)) {
            (Some(requests), Ok(line)) => writeln!(requests, "{line}").and_then(|()| requests.flush()).is_ok(),
            _ => false,
        };
        if sent { Ok(()) } else { Err(NoAnswer::Lost(self.epitaph())) }
    }

    fn answer(&mut self, patience: Duration) -> Result<Reply, NoAnswer> {
        let start = Instant::now();
        loop {
            if interrupt::wanted() {
                return Err(NoAnswer::Interrupted);
            }
            match self.replies.recv_timeout(interrupt::POLL) {
                Ok(line) => {
                    return match serde_json::from_str(&line) {
                        Ok(Reply::Failed(reason)) => Err(NoAnswer::Failed(reason)),
                        Ok(reply) => Ok(reply),
                        Err(_) => Err(NoAnswer::Lost(format!("answered no reply: {line:.80}"))),
                    };
                }
                Err(RecvTimeoutError::Timeout) if start.elapsed() < patience => {}
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = patience.as_secs_f64();
                    return Err(NoAnswer::Lost(format!("no answer within {seconds:.0} s; --patience sets how long")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(NoAnswer::Lost(self.epitaph())),
            }
        }
    }

    /// How the process ended, and the last thing it said.
    fn epitaph(&mut self) -> String {
        self.requests = None;
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let complaints = self.complaints.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        let last =
            complaints.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing on standard error");
        format!("its process ended ({status}): {:.200}", last.trim_start_matches("error: "))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A waiting worker ends when its input is closed; a computing worker is killed.
        self.requests = None;
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl From<NoAnswer> for Error {
    fn from(why: NoAnswer) -> Error {
        match why {
            NoAnswer::Interrupted => Error::Interrupted,
            NoAnswer::Failed(reason) | NoAnswer::Lost(reason) => Error::Check(reason),
        }
    }
}
