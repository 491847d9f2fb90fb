"""The small development Cosmos DB of decision D10: the REST surface that this project uses, over SQLite."""
