//! Second-order pruning: which blocks of a matrix become zero, and what the kept weights become.
