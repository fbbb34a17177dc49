//! The activation of the feed-forward block.

use lacuna_kernels::{ChunksMut, Parallel};
use lacuna_model::Activation;

use super::math;
use crate::cpu::multiversion;
use crate::tiles::Tiles;

/// Elements that one task computes.
const CHUNK: usize = 1 << 14;

/// `x = f(x)` for every element, and `slope = f'(x)` where there is a place for it.
///
/// # Shapes
/// `slope` takes the shape of `x`.
pub fn activate(activation: Activation, x: &mut Tiles, slope: Option<&mut Tiles>) {
    match slope {
        None => Parallel::Rayon.for_each_chunk(ChunksMut::new(x.data_mut(), CHUNK), |_, x| match activation {
            Activation::Gelu => gelu_alone(x),
            Activation::GeluTanh => gelu_tanh_alone(x),
            Activation::Relu => relu_alone(x),
        }),
        Some(slope) => {
            slope.reshape(x.features(), x.columns());
            let chunks = (ChunksMut::new(x.data_mut(), CHUNK), ChunksMut::new(slope.data_mut(), CHUNK));
            Parallel::Rayon.for_each_chunk(chunks, |_, (x, slope)| match activation {
                Activation::Gelu => gelu(x, slope),
                Activation::GeluTanh => gelu_tanh(x, slope),
                Activation::Relu => relu(x, slope),
            });
        }
    }
}

/// `dx = dy * slope` in place of `dy`, element by element.
pub fn activate_backward(dy: &mut Tiles, slope: &Tiles) {
    let slope = slope.data();
    Parallel::Rayon.for_each_chunk(ChunksMut::new(dy.data_mut(), CHUNK), |i, dy| {
        multiply(dy, &slope[i * CHUNK..][..dy.len()]);
    });
}

multiversion! {
    fn multiply(dy: &mut [f32], slope: &[f32]) {
        dy.iter_mut().zip(slope).for_each(|(dy, slope)| *dy *= slope);
    }
}

macro_rules! forms {
    ($($with_slope:ident $alone:ident $f:path;)*) => {$(
        multiversion! {
            fn $with_slope(x: &mut [f32], slope: &mut [f32]) {
                x.iter_mut().zip(slope).for_each(|(x, slope)| (*x, *slope) = $f(*x));
            }
        }

        multiversion! {
            fn $alone(x: &mut [f32]) {
                x.iter_mut().for_each(|x| *x = $f(*x).0);
            }
        }
    )*};
}

forms! {
    gelu gelu_alone math::gelu;
    gelu_tanh gelu_tanh_alone math::gelu_tanh;
    relu relu_alone math::relu;
}
