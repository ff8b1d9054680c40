"""What each agent is given, which tools it has, and how its answer is verified."""
