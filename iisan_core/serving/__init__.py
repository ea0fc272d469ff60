"""What the `Recommender` is made of: the items to choose from, their best, and reasons."""
