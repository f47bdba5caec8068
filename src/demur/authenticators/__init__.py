"""Ways to find out that somebody is who they say: passwords, and the brake on guessing them."""
