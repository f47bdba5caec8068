"""What is wrong between the browser and the app, found by asking: the proxy in front, and what it makes of answers."""
