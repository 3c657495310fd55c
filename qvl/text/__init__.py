"""What is known of texts, with no record, no rule and no threshold of its own: words, scripts, languages, form."""
