"""From a record to its samples: how many, with which settings and seeds, in which form, in how many rounds."""
