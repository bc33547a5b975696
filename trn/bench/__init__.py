"""What `trn bench` measures: how long a fix takes, stage by stage, on every backend there is."""
