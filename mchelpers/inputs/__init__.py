"""What people bring: pictures and labels, read right or refused in one sentence."""
