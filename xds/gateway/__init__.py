"""The XCA gateways: other communities asked for our clients, and our own asked by them."""
