"""What makes the book: executing chapters, the record, the claims, and the pages from both."""
