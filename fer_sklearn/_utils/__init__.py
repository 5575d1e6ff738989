"""What several rooms need; nothing here is public."""
