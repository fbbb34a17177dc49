//! Row by row functions of f32 tiles: GELU and quantisation.

pub(crate) mod gelu;
