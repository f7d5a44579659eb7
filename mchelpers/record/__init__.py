"""What was executed: chapters and their records, commits, machines, and what saved files say."""
