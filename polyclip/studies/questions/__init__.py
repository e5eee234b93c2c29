"""Questions of the LilT paper that 'polyclip study' answers, one file each."""
