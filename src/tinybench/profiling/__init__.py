"""What a network and this machine can do: peaks, step times, layers, the doctor."""
