"""Whether an installation is sound: what was found out about it, and what that means."""
