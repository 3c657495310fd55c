"""Starting an engine: its environment, its command line, its process, its endpoint."""
