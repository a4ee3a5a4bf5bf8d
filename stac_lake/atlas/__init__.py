"""What a lake holds, in numbers and pictures: statistics of its pixels, and where its cells are."""
