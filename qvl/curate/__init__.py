"""SFT data curation: which queries and responses are worth learning from."""
