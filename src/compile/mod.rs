//! From a calibrated model, or a packed file, to steps that are ready to run.
//!
//! | file | holds |
//! | --- | --- |
//! | `bert.rs` | an architecture: the list of its steps |
//! | `lower.rs` | the steps of linear layers, by the arithmetic of the tensor that they read |
//! | `maker.rs` | where the parts of the steps come from |
//! | `plan.rs` | parts that are planned and packed from a calibrated model |
//! | `load.rs`, `save.rs` | parts that are read from and written to a file |
//! | `product/` | products of weights and activations, one file for each kind |
//! | `choose.rs`, `chooser.rs` | which of the products is fastest, and what that depends on |
//! | `step.rs`, `model.rs`, `state.rs`, `part.rs` | the steps from their plan to their code |
//! | `codes.rs` | which steps write codes with calibrated ranges |
//! | `tensor.rs`, `names.rs`, `stage.rs` | what steps read and write, how they are called, what their time counts as |
//! | `source.rs`, `heads.rs`, `params.rs`, `activation.rs` | weights as kernels want them |
//! | `byte_table.rs` | an embedding table with a byte per value |
//! | `tables.rs` | the embedding tables |

mod activation;
mod bert;
mod byte_table;
mod choose;
mod chooser;
mod codes;
mod heads;
mod load;
mod lower;
mod maker;
mod model;
mod names;
mod params;
mod part;
mod plan;
mod product;
mod save;
mod source;
mod stage;
mod state;
mod step;
mod tables;
mod tensor;

pub use self::chooser::Form;
pub use self::stage::Stage;

pub(crate) use self::chooser::Chooser;
pub(crate) use self::codes::StaticCodes;
pub(crate) use self::model::PackedSteps;
pub(crate) use self::product::Operand;
pub(crate) use self::save::StepsEntry;
pub(crate) use self::state::Ready;
pub(crate) use self::step::{Op, Step};
pub(crate) use self::tables::{Tables, WORD};
pub(crate) use self::tensor::{Format, Place, Tensor};
