"""Images and captions in shards, local or remote: located, read safely, indexed once per shard, then read at random."""
