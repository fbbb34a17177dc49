//! Which sequences wait, and which of them form the next batch.
//!
//! A batch has sequences of one [`Key`]: one model, and one kind of result. Keys take turns: the key that was served longest ago is
//! next. Within its key the oldest request gets half of the tokens of the batch. The other half goes to the requests behind it, in the
//! order of their arrival, one sequence of each in a round. What they do not use is for the oldest request.
//!
//! So the wait of a request is bounded. A request with one text enters the next batch of its key if one text of every
//! request before it fits into half of a batch. The oldest request is never slower than at half of the speed of the server. With K keys
//! in the queue a key waits for at most K - 1 batches of others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::work::{Batch, Item, Key, Sequence, Ticket, Want};
use crate::model::ServedModel;

/// Keys whose turns are remembered; models that are gone leave theirs behind.
const MOST_TURNS: usize = 256;

/// A request whose sequences wait.
#[derive(Debug)]
struct Waiting {
    key: Key,
    model: Arc<ServedModel>,
    /// Those that are in no batch yet, with their places in the request.
    sequences: VecDeque<(usize, Sequence)>,
    ticket: Arc<Ticket>,
}

/// The waiting requests in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    requests: VecDeque<Waiting>,
    sequences: usize,
    tokens: usize,
    /// The number of the last batch of each key.
    turns: HashMap<Key, u64>,
    batches: u64,
}

impl Queue {
    /// Sequences that wait.
    pub(crate) fn sequences(&self) -> usize {
        self.sequences
    }

    /// Their tokens.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Adds a request.
    pub(crate) fn push(&mut self, model: Arc<ServedModel>, want: Want, sequences: Vec<Sequence>, ticket: Arc<Ticket>) {
        let key = Key { model: model.id(), want };
        self.sequences += sequences.len();
        self.tokens += sequences.iter().map(|sequence| sequence.ids.len()).sum::<usize>();
        self.requests.push_back(Waiting { key, model, sequences: sequences.into_iter().enumerate().collect(), ticket });
    }

    /// Drops the requests whose clients have gone. Gives the number of their sequences.
    pub(crate) fn drop_abandoned(&mut self) -> usize {
        let (mut sequences, mut tokens) = (0, 0);
        self.requests.retain(|request| {
            let gone = request.ticket.is_abandoned();
            if gone {
                sequences += request.sequences.len();
                tokens += request.sequences.iter().map(|(_, sequence)| sequence.ids.len()).sum::<usize>();
            }
            !gone
        });
        self.sequences -= sequences;
        self.tokens -= tokens;
        sequences
    }

    /// The next batch, of at most `budget` tokens or of one sequence.
    pub(crate) fn take(&mut self, budget: usize) -> Option<Batch> {
        let key = self.next_key()?;
        let of_key = |request: &&mut Waiting| request.key == key;
        let model = Arc::clone(&self.requests.iter().find(|request| request.key == key)?.model);
        let mut batch = Batch { model, want: key.want, items: Vec::new(), tokens: 0 };
        let oldest = self.requests.iter_mut().find(|request| request.key == key)?;
        while batch.items.is_empty() || oldest.fits(&batch, budget / 2) {
            oldest.give(&mut batch);
        }
        // One of each request in a round, until nothing more fits. The oldest request has its part already.
        let mut given = true;
        while given {
            given = false;
            for request in self.requests.iter_mut().filter(of_key).skip(1) {
                if request.fits(&batch, budget) {
                    request.give(&mut batch);
                    given = true;
                }
            }
        }
        for request in self.requests.iter_mut().filter(of_key) {
            while request.fits(&batch, budget) {
                request.give(&mut batch);
            }
        }
        self.requests.retain(|request| !request.sequences.is_empty());
        self.sequences -= batch.items.len();
        self.tokens -= batch.tokens;
        self.batches += 1;
        if self.turns.len() >= MOST_TURNS {
            self.turns.clear();
        }
        self.turns.insert(key, self.batches);
        Some(batch)
    }

    /// Ends all requests with an error.
    pub(crate) fn fail(&mut self, error: &crate::error::Error) {
        self.requests.drain(..).for_each(|request| request.ticket.fail(error));
        (self.sequences, self.tokens) = (0, 0);
    }

    /// The key that was served longest ago; of several that were never served the one of the oldest request.
    fn next_key(&self) -> Option<Key> {
        let turn = |request: &&Waiting| self.turns.get(&request.key).copied().unwrap_or(0);
        self.requests.iter().min_by_key(turn).map(|request| request.key)
    }
}

impl Waiting {
    /// Whether its next sequence has room in a batch of so many tokens.
    fn fits(&self, batch: &Batch, budget: usize) -> bool {
        self.sequences.front().is_some_and(|(_, sequence)| batch.tokens + sequence.ids.len() <= budget)
    }

    /// Moves its next sequence into a batch.
    fn give(&mut self, batch: &mut Batch) {
        if let Some((index, sequence)) = self.sequences.pop_front() {
            batch.tokens += sequence.ids.len();
            batch.items.push(Item { sequence, index, ticket: Arc::clone(&self.ticket) });
        }
    }
}
