"""The pictures of answers: each the same figures as the table that it stands beside."""
