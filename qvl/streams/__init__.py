"""What is done to any stream of records: select, mix, shuffle, split, count, check."""
