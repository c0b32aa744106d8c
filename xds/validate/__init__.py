"""What is wrong with a message or resource, told at a desk by the node's own rules, without a node."""
