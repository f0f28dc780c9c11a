"""What the tests share: they run the tap, and compare what it wrote with what it should write."""
