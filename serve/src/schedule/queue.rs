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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lacuna::{Compile, Model};
    use tokio::sync::oneshot;

    use super::*;
    use crate::error::Result;
    use crate::schedule::work::Done;

    fn model() -> Arc<ServedModel> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/heads/bert-classify");
        let encoder = Model::open(folder).unwrap().calibration().run_default().unwrap().compile().unwrap();
        Arc::new(ServedModel::new("tiny", Arc::new(encoder), None).unwrap())
    }

    type Receiver = oneshot::Receiver<Result<Done>>;

    /// Adds a request whose sequences have these lengths. Its ids are its number.
    fn push(queue: &mut Queue, model: &Arc<ServedModel>, want: Want, number: u32, lengths: &[usize]) -> Receiver {
        let (sender, receiver) = oneshot::channel();
        let sequence = |&length: &usize| Sequence { ids: vec![number; length], types: None };
        let ticket = Arc::new(Ticket::new(lengths.len(), sender));
        queue.push(Arc::clone(model), want, lengths.iter().map(sequence).collect(), ticket);
        receiver
    }

    /// The requests of a batch, with their places.
    fn taken(queue: &mut Queue, budget: usize) -> Vec<(u32, usize)> {
        let batch = queue.take(budget).map_or(Vec::new(), |batch| batch.items);
        batch.iter().map(|item| (item.sequence.ids[0], item.index)).collect()
    }

    const VECTOR: Want = Want::Vector { prompt: 0 };

    #[test]
    fn half_of_a_batch_is_for_the_oldest_request_and_half_for_all_others_in_turns() {
        let (mut queue, model) = (Queue::default(), model());
        let _receivers = [
            push(&mut queue, &model, VECTOR, 0, &[10; 20]),
            push(&mut queue, &model, VECTOR, 1, &[10; 20]),
            push(&mut queue, &model, VECTOR, 2, &[10]),
            push(&mut queue, &model, VECTOR, 3, &[10; 3]),
        ];
        assert_eq!((queue.sequences(), queue.tokens()), (44, 440));
        let first = taken(&mut queue, 100);
        let expected = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (2, 0), (3, 0), (1, 1), (3, 1)];
        assert_eq!(first, expected);
        let second = taken(&mut queue, 100);
        let of = |number: u32| second.iter().filter(|(found, _)| *found == number).count();
        assert_eq!((of(0), of(1), of(3)), (5, 4, 1));
        assert_eq!((queue.sequences(), queue.tokens()), (24, 240));
        // Alone, a request has whole batches.
        while taken(&mut queue, 100).len() == 10 {}
        assert_eq!((queue.sequences(), queue.tokens()), (0, 0));
        assert!(queue.take(100).is_none());
    }

    #[test]
    fn a_sequence_beyond_the_budget_is_a_batch_of_its_own() {
        let (mut queue, model) = (Queue::default(), model());
        let _receivers = [push(&mut queue, &model, VECTOR, 0, &[50, 5]), push(&mut queue, &model, VECTOR, 1, &[5])];
        assert_eq!(taken(&mut queue, 20), [(0, 0)]);
        assert_eq!(taken(&mut queue, 20), [(0, 1), (1, 0)]);
    }

    #[test]
    fn kinds_of_results_take_turns() {
        let (mut queue, model) = (Queue::default(), model());
        let _receivers = [
            push(&mut queue, &model, VECTOR, 0, &[10; 30]),
            push(&mut queue, &model, Want::Logits, 1, &[10; 30]),
            push(&mut queue, &model, Want::States, 2, &[10; 2]),
            push(&mut queue, &model, VECTOR, 3, &[10]),
        ];
        let turns: Vec<u32> = (0..5).map(|_| taken(&mut queue, 100)[0].0).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1]);
    }

    #[test]
    fn requests_whose_clients_have_gone_leave_the_queue() {
        let (mut queue, model) = (Queue::default(), model());
        let gone = push(&mut queue, &model, VECTOR, 0, &[10; 3]);
        let _stays = push(&mut queue, &model, VECTOR, 1, &[10; 2]);
        drop(gone);
        assert_eq!(queue.drop_abandoned(), 3);
        assert_eq!((queue.sequences(), queue.tokens()), (2, 20));
        assert_eq!(taken(&mut queue, 100), [(1, 0), (1, 1)]);
    }
}
