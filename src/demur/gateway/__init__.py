"""The gateway: what stands in front of sites of any kind, put together from a configuration file."""
