"""From a record to its samples: settings, seeds, structured output, rounds."""
