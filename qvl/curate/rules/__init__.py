"""Rules and judges that decide whether a query or a response is worth training on."""
