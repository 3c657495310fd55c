"""What every training job shares: loop, sampler, dataloader, loss guard, log, ranks."""
