"""What every training job shares: data, order, loss guard, log, ranks."""
