"""simreal: what is done to a policy: pretrain, adapt, check, deploy."""
