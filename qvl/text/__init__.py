"""Properties of texts that rules, scores and penalties share: words, scripts, languages, repetition, form."""
