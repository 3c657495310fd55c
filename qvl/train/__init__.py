"""What every training job shares: settings, loop, sampler, dataloader, loss guard, log, ranks."""
