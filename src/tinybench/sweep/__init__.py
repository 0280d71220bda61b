"""Many runs under one protocol: a plan, where its runs stand, and what carries them out."""
