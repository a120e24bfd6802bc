//! Tables, keys, rows, and the transaction that `apply` writes through.
