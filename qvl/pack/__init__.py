"""Records to packed token sequences: rendering, tokenisation, bin packing, files of packs."""
