"""What is shipped: models, hardware, laws, claims, and what others measured."""
