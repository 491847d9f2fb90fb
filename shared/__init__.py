"""The rules and the stores of the data-sharing service; nothing here knows that Azure Functions calls it."""
