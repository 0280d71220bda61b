"""The machine: devices, random numbers, files."""
