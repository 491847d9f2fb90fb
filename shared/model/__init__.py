"""The values: what is stored, sent and decided on. They ask nobody, and nothing here waits for an answer."""
