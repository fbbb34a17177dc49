//! What waits for a batch, and how its results come back.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lacuna::tokens::{TokenIds, TokenizedText};
use lacuna::weights::Matrix;
use tokio::sync::oneshot;

use super::running::Running;
use crate::error::{Error, Result};
use crate::model::ServedModel;

/// The tokens of a text or a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) ids: Vec<u32>,
    /// None where all are 0.
    pub(crate) types: Option<Vec<u32>>,
}

impl From<TokenizedText> for Sequence {
    fn from(text: TokenizedText) -> Sequence {
        Sequence { ids: text.ids, types: Some(text.types) }
    }
}

/// What is wanted of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Want {
    /// The embedding; the first `prompt` tokens are a prompt.
    Vector { prompt: usize },
    /// The hidden state of every token.
    States,
    /// The logits of the model's head.
    Logits,
}

/// A result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    Vector(Vec<f32>),
    Matrix(Matrix),
}

impl Output {
    /// The values.
    pub(crate) fn values(self) -> Vec<f32> {
        match self {
            Output::Vector(vector) => vector,
            Output::Matrix(matrix) => matrix.data,
        }
    }

    /// The matrix; a vector is one row.
    pub(crate) fn matrix(self) -> Matrix {
        match self {
            Output::Vector(data) => Matrix { rows: 1, cols: data.len(), data },
            Output::Matrix(matrix) => matrix,
        }
    }
}

/// The results of a request.
#[derive(Debug)]
pub(crate) struct Done {
    /// In the order of its sequences.
    pub(crate) outputs: Vec<Output>,
    /// From admission until its first sequence entered a batch.
    pub(crate) waited: Duration,
    /// From there to the last result.
    pub(crate) computed: Duration,
}

/// Where the results of a request are gathered. The one who waits has the other end of the channel; if that is gone, so is the client.
#[derive(Debug)]
pub(crate) struct Ticket {
    admitted: Instant,
    gathered: Mutex<Gathered>,
    missing: AtomicUsize,
}

#[derive(Debug)]
struct Gathered {
    outputs: Vec<Option<Output>>,
    started: Option<Instant>,
    /// Batches that compute sequences of it now.
    running: Vec<Arc<Running>>,
    sender: Option<oneshot::Sender<Result<Done>>>,
}

/// The results of a request, as its client waits for them. Dropping it takes the request back: what waits is dropped, and a batch that
/// nobody else waits for is stopped.
#[derive(Debug)]
pub(crate) struct Answer {
    receiver: oneshot::Receiver<Result<Done>>, // dropped first: then the ticket sees that the client has gone
    client: Client,
}

/// Says that the client has gone when it is dropped. Without a ticket there is nothing to compute.
#[derive(Debug)]
struct Client(Option<Arc<Ticket>>);

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(ticket) = &self.0 {
            ticket.abandon();
        }
    }
}

impl Answer {
    /// An answer, and the ticket that gets its results; no ticket for no sequences.
    pub(crate) fn new(sequences: usize) -> (Answer, Option<Arc<Ticket>>) {
        let (sender, receiver) = oneshot::channel();
        let ticket = match sequences {
            0 => {
                let done = Done { outputs: Vec::new(), waited: Duration::ZERO, computed: Duration::ZERO };
                let _ = sender.send(Ok(done)); // the receiver is here
                None
            }
            _ => Some(Arc::new(Ticket::new(sequences, sender))),
        };
        (Answer { receiver, client: Client(ticket.clone()) }, ticket)
    }

    /// Waits for the results.
    ///
    /// # Errors
    /// Those of the batches; [`Error::Draining`] if the pool dropped the request.
    pub(crate) async fn wait(self) -> Result<Done> {
        let Answer { receiver, client: _client } = self;
        receiver.await.unwrap_or(Err(Error::Draining))
    }

    /// The same on a thread that may block.
    pub(crate) fn wait_blocking(self) -> Result<Done> {
        let Answer { receiver, client: _client } = self;
        receiver.blocking_recv().unwrap_or(Err(Error::Draining))
    }
}

impl Ticket {
    /// For so many sequences.
    pub(crate) fn new(sequences: usize, sender: oneshot::Sender<Result<Done>>) -> Ticket {
        let gathered =
            Gathered { outputs: vec![None; sequences], started: None, running: Vec::new(), sender: Some(sender) };
        Ticket { admitted: Instant::now(), gathered: Mutex::new(gathered), missing: AtomicUsize::new(sequences) }
    }

    fn gathered(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits for the results any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.gathered().sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Sequences of it are about to be computed in a batch.
    pub(crate) fn start(&self, running: &Arc<Running>) {
        let mut gathered = self.gathered();
        gathered.started.get_or_insert_with(Instant::now);
        match gathered.sender.as_ref().is_none_or(oneshot::Sender::is_closed) {
            true => running.leave(),
            false => gathered.running.push(Arc::clone(running)),
        }
    }

    /// A batch has ended.
    pub(crate) fn end(&self, running: &Arc<Running>) {
        self.gathered().running.retain(|other| !Arc::ptr_eq(other, running));
    }

    /// The client has gone.
    fn abandon(&self) {
        std::mem::take(&mut self.gathered().running).iter().for_each(|running| running.leave());
    }

    /// Takes a result; the last one sends them all.
    pub(crate) fn put(&self, index: usize, output: Output) {
        let mut gathered = self.gathered();
        if let Some(place) = gathered.outputs.get_mut(index) {
            *place = Some(output);
        }
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let started = gathered.started.unwrap_or(self.admitted);
            let outputs = std::mem::take(&mut gathered.outputs).into_iter().flatten().collect();
            let done = Done { outputs, waited: started - self.admitted, computed: started.elapsed() };
            if let Some(sender) = gathered.sender.take() {
                let _ = sender.send(Ok(done)); // the client may have gone meanwhile
            }
        }
    }

    /// Ends the request with an error, if it has not ended.
    pub(crate) fn fail(&self, error: &Error) {
        if let Some(sender) = self.gathered().sender.take() {
            let _ = sender.send(Err(error.clone()));
        }
    }
}

/// What may be computed together: sequences of one model of which the same is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) model: u64,
    pub(crate) want: Want,
}

/// One sequence of a batch.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) sequence: Sequence,
    /// Its place in the request.
    pub(crate) index: usize,
    pub(crate) ticket: Arc<Ticket>,
}

impl TokenIds for Item {
    fn ids(&self) -> &[u32] {
        &self.sequence.ids
    }

    fn types(&self) -> Option<&[u32]> {
        self.sequence.types.as_deref()
    }
}

/// Sequences that are computed together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) model: Arc<ServedModel>,
    pub(crate) want: Want,
    pub(crate) items: Vec<Item>,
    pub(crate) tokens: usize,
}

impl Batch {
    /// The requests whose sequences are in it.
    pub(crate) fn tickets(&self) -> Vec<Arc<Ticket>> {
        let mut seen = HashSet::new();
        let tickets = self.items.iter().map(|item| &item.ticket);
        tickets.filter(|ticket| seen.insert(Arc::as_ptr(ticket))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_stopped_when_all_of_its_clients_have_gone() {
        let (first, first_ticket) = Answer::new(3);
        let (second, second_ticket) = Answer::new(1);
        let (first_ticket, second_ticket) = (first_ticket.unwrap(), second_ticket.unwrap());
        let [earlier, running] = [1, 2].map(|requests| Arc::new(Running::new(requests)));
        first_ticket.start(&earlier);
        first_ticket.start(&running);
        second_ticket.start(&running);
        first_ticket.end(&earlier);
        drop(first);
        assert!(first_ticket.is_abandoned());
        assert!(!earlier.cancel().is_cancelled(), "it has ended");
        assert!(!running.cancel().is_cancelled(), "the second client waits");
        drop(second);
        assert!(running.cancel().is_cancelled());
        // One that had gone before its batch began.
        let late = Arc::new(Running::new(1));
        first_ticket.start(&late);
        assert!(late.cancel().is_cancelled());
    }

    #[test]
    fn the_last_result_sends_all() {
        let (answer, ticket) = Answer::new(2);
        let ticket = ticket.unwrap();
        ticket.put(1, Output::Vector(vec![1.0]));
        assert!(!ticket.is_abandoned());
        ticket.put(0, Output::Vector(vec![0.0]));
        let outputs = answer.wait_blocking().unwrap().outputs;
        assert_eq!(outputs, [Output::Vector(vec![0.0]), Output::Vector(vec![1.0])]);
        let (nothing, none) = Answer::new(0);
        assert!(none.is_none() && nothing.wait_blocking().unwrap().outputs.is_empty());
    }
}
