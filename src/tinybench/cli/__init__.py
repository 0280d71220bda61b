"""The commands, one file each: their flags and what they print."""
