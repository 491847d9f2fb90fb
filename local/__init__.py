"""The development stack: the real parts on one machine, gone when the command that started them ends."""
