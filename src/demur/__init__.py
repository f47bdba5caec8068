"""demur"""
