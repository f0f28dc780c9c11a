"""A Singer tap for the engagement logs of Zoom Contact Center master accounts."""
