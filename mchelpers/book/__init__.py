"""What makes the book: executing chapters, the lock, packing trainings, the site."""
