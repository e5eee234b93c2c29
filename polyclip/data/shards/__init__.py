"""Pictures and captions in shards, wherever they lie: found, read safely, indexed once a shard, and then read at random from the index."""
