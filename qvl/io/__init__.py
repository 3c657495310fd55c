"""What knows bytes on disk: streams, lineage, journals, images. Nothing else opens a data file."""
