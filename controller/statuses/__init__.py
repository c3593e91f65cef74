"""What is live of each object, and what its status says of that."""
