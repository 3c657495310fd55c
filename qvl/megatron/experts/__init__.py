"""What is peculiar to a mixture of experts: its load-balancing loss, and how uneven the load is."""
