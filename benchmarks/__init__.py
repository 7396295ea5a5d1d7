"""What the claims on speed rest on: scripts that anyone can run."""
