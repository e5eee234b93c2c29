"""Small trainable parts that are put into frozen towers, and the rules where they go."""
