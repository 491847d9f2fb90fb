"""One module per caller's concern: each translates a trigger into one call and its result into an answer."""
