//! HCL in both dialects: a tolerant reader of bodies with positions.
