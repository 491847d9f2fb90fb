"""What outsiders and operators run: checking a receipt, checking how a deployment is set up."""
