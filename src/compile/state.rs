//! How far a model is: planned, packed, ready to run.

use std::marker::PhantomData;

use super::part::{Kernel, PackedPart, ReadyPart};
use super::product::{PackedProduct, PlannedProduct, Product};

/// How far a model is: what its steps are made of.
pub(crate) trait State {
    /// A product with its weights.
    type Product;
    /// Any other kernel with its parameters.
    type Part<K: Kernel, W>;
}

/// A state without code.
pub(super) trait Uncompiled: State {
    /// A kernel that is planned, with its parameters.
    fn part<K: Kernel, W>(plan: K::Plan, weights: W) -> Self::Part<K, W>;
}

/// Everything is decided; products are not packed yet. Their weights are borrowed from the model.
pub(super) struct Planned<'a>(PhantomData<&'a ()>);

/// Everything is packed: all that a model needs but code.
pub(crate) struct Packed;

/// Ready to run.
pub(crate) struct Ready;

impl<'a> State for Planned<'a> {
    type Product = PlannedProduct<'a>;
    type Part<K: Kernel, W> = PackedPart<K, W>;
}

impl State for Packed {
    type Product = Box<dyn PackedProduct>;
    type Part<K: Kernel, W> = PackedPart<K, W>;
}

impl State for Ready {
    type Product = Box<dyn Product>;
    type Part<K: Kernel, W> = ReadyPart<K, W>;
}

impl Uncompiled for Planned<'_> {
    fn part<K: Kernel, W>(plan: K::Plan, weights: W) -> PackedPart<K, W> {
        PackedPart { plan, weights }
    }
}

impl Uncompiled for Packed {
    fn part<K: Kernel, W>(plan: K::Plan, weights: W) -> PackedPart<K, W> {
        PackedPart { plan, weights }
    }
}
