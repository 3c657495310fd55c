"""Data files: streams, their lineage and journals, parquet. The only code that opens them."""
