"""Cosmos DB: an account, a class for each container, and how the containers are set up."""
