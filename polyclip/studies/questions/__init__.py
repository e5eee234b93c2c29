"""One file for each question of the paper that 'polyclip study' answers."""
