"""Known bugs, each planted by a generator that puts it in, yields, and takes it out."""
