//! Which blocks of a matrix hold a weight other than zero.

/// The block columns, ascending, of those blocks of one block row that hold a weight other than zero. -0 counts as zero, NaN
/// does not.
///
/// `block_row` are whole rows of `k` weights, `inputs` columns of them to a block; what the last block lacks counts as zeros.
///
/// # Panics
/// If `k` or `inputs` is 0.
pub fn nonzero_blocks<T: Default + PartialEq>(
    block_row: &[T],
    k: usize,
    inputs: usize,
) -> impl Iterator<Item = usize> + use<T> {
    let zero = T::default();
    let mut nonzero = vec![false; k.div_ceil(inputs)];
    for row in block_row.chunks_exact(k) {
        for (nonzero, block) in nonzero.iter_mut().zip(row.chunks(inputs)) {
            *nonzero |= block.iter().any(|weight| *weight != zero);
        }
    }
    nonzero.into_iter().enumerate().filter(|(_, nonzero)| *nonzero).map(|(column, _)| column)
}

#[cfg(test)]
mod tests {
    use super::nonzero_blocks;

    #[test]
    fn a_block_is_nonzero_if_any_of_its_rows_is() {
        #[rustfmt::skip]
        let weights = [
            0.0, 1.0, 0.0, 0.0, 0.0,
            0.0, 0.0, 0.0, -0.0, 2.0,
        ];
        let found = |k, inputs| nonzero_blocks(&weights, k, inputs).collect::<Vec<_>>();
        assert_eq!(found(5, 1), [1, 4]);
        assert_eq!(found(5, 2), [0, 2]);
        assert_eq!(found(5, 4), [0, 1]);
        assert_eq!(found(10, 4), [0, 2]);
        assert_eq!(nonzero_blocks(&[f32::NAN, 0.0], 2, 1).collect::<Vec<_>>(), [0]);
        assert_eq!(nonzero_blocks::<i8>(&[], 3, 1).count(), 0);
    }
}
