"""Parts of rows that several formats share: placeholders, turns, tool calls, parquet columns."""
