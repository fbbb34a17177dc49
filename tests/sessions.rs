//! One encoder for many users: the same results from all of them, and calls that can be stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use lacuna::tasks::Backbone;
use lacuna::tokens::{TokenIds, TypedIds, seeded_ids};
use lacuna::{Block, Cancel, Compile, Encoder, Error, Model, Preset, Session};

const VOCAB: usize = 500;

fn encoder() -> Arc<Encoder> {
    let mut config = Preset::BertMini.config();
    (config.layers, config.vocab_size, config.max_position) = (2, VOCAB, 256);
    let model = Model::seeded(config, 7).unwrap().prune(Block::B4x1, 0.8).unwrap();
    Arc::new(model.calibration().run_ids(&seeded_ids(VOCAB, 16, 40, 1)).unwrap().compile().unwrap())
}

fn batch(user: usize) -> Vec<Vec<u32>> {
    (0..user % 5 + 1).map(|i| seeded_ids(VOCAB, 1, 1 + (user * 37 + i * 61) % 200, i as u64).remove(0)).collect()
}

/// An [`Encoder`] and a [`Session`] can go to and be used by any thread.
#[test]
fn users_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Encoder>();
    check::<Session>();
    check::<Cancel>();
}

#[test]
fn many_users_get_what_one_gets() {
    let encoder = encoder();
    let expected: Vec<_> = (0..8).map(|user| encoder.embed_ids(&batch(user)).unwrap()).collect();
    // A second instance of the model shares the code of the first, and gives the same.
    let instances = [Arc::clone(&encoder), self::encoder()];
    assert_eq!(instances[1].report().kernels_generated, 0);
    thread::scope(|scope| {
        for (user, expected) in expected.iter().enumerate() {
            let session = instances[user % 2].session();
            scope.spawn(move || {
                let ids = batch(user);
                for _ in 0..5 {
                    assert_eq!(&session.embed_ids(&ids).unwrap(), expected);
                }
                let mut flat = vec![f32::NAN; expected.concat().len()];
                session.embed_ids_into(&ids, &mut flat).unwrap();
                assert_eq!(flat, expected.concat());
            });
        }
        // One session, several threads at once.
        let session = Arc::new(encoder.session());
        for _ in 0..4 {
            let session = Arc::clone(&session);
            let expected = &expected;
            scope.spawn(move || assert_eq!(session.embed_ids(&batch(3)).unwrap(), expected[3]));
        }
    });
}

/// Token ids that count how often they were looked at, and pull a trigger when they are.
struct Trigger<'a> {
    ids: Vec<u32>,
    looks: &'a AtomicUsize,
    cancel: &'a Cancel,
}

impl TokenIds for Trigger<'_> {
    fn ids(&self) -> &[u32] {
        self.looks.fetch_add(1, Relaxed);
        self.cancel.cancel();
        &self.ids
    }

    fn types(&self) -> Option<&[u32]> {
        None
    }
}

#[test]
fn a_cancelled_session_stops_and_can_go_on() {
    let encoder = encoder();
    let session = encoder.session();
    let ids = batch(4);
    let before = session.embed_ids(&ids).unwrap();

    // Cancelled while it runs: the ids are read after the check at the start of the call.
    let looks = AtomicUsize::new(0);
    let pull: Vec<Trigger<'_>> =
        ids.iter().map(|ids| Trigger { ids: ids.clone(), looks: &looks, cancel: session.cancel() }).collect();
    let mut out = vec![0.0; ids.len() * encoder.config().hidden_size];
    assert!(matches!(session.embed_ids_into(&pull, &mut out), Err(Error::Cancelled)));
    assert!(looks.load(Relaxed) > 0);

    // It stays so, for every kind of call, and before anything of the input is looked at.
    let looked = looks.load(Relaxed);
    assert!(matches!(session.embed_ids(&pull), Err(Error::Cancelled)));
    assert!(matches!(session.hidden_states(&ids), Err(Error::Cancelled)));
    let typed = [TypedIds { ids: &ids[0], types: &vec![0; ids[0].len()] }];
    let backbone: &dyn Backbone = &session;
    assert!(matches!(backbone.hidden_states(&typed), Err(Error::Cancelled)));
    assert!(matches!(backbone.embed_ids(&typed, 0), Err(Error::Cancelled)));
    assert!(matches!(session.embed(&["text"]), Err(Error::Cancelled)));
    assert_eq!(looks.load(Relaxed), looked);

    // Nobody else is stopped, and after a reset nothing is left of it.
    assert_eq!(encoder.embed_ids(&ids).unwrap(), before);
    assert_eq!(encoder.session().embed_ids(&ids).unwrap(), before);
    session.cancel().reset();
    assert_eq!(session.embed_ids(&ids).unwrap(), before);
}

#[test]
fn one_cancel_stops_all_its_sessions() {
    let (encoder, cancel) = (encoder(), Cancel::new());
    let sessions = [0, 1].map(|_| encoder.session().with_cancel(cancel.clone()));
    thread::scope(|scope| {
        let running = sessions.each_ref().map(|session| {
            scope.spawn(move || {
                // Ends only because somebody cancels.
                loop {
                    if let Err(error) = session.embed_ids(&batch(2)) {
                        return error;
                    }
                }
            })
        });
        cancel.cancel();
        for ended in running {
            assert!(matches!(ended.join().unwrap(), Error::Cancelled));
        }
    });
}
