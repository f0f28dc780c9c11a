"""What Zoom is: how it is asked, at which pace, and what its answers mean."""
